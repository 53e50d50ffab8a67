"""What the checker of a run finds, each wrong put into a run that is right."""

from dataclasses import replace

import pytest

from services.central.roles.outbox import Alive, Notice
from shared.roles.cluster import ClusterRoles
from shared.roles.history import Tail, chained, decision_entry, read_entry, takeover_entry
from shared.roles.records import Claim, Config, DeathNotice, Heartbeat, Record, Tick
from tests.faults.checker import Logged, Recorded, Sighting, accepted_claims, problems, took_s


def beat(node: str, ticks: int) -> Heartbeat:
    return Heartbeat(node=node, incarnation=f"{node}/1", epoch=-1, acknowledged_ticks=ticks)


def claim(node: str, expected_epoch: int) -> Claim:
    return Claim(incarnation=f"{node}/1", expected_epoch=expected_epoch, reason="test", by="r")


FIRST, SECOND = 5, 7
RECORDS: list[Record] = [
    Config(), Tick("r"), Tick("r"), beat("a", 2), beat("b", 2), claim("a", -1),
    DeathNotice("a/1", "up"), claim("b", FIRST), claim("a", FIRST),
]  # fmt: skip
LOG = [Logged(record, offset, 1_000 * offset) for offset, record in enumerate(RECORDS)]


def roles(node: str, epoch: int) -> ClusterRoles:
    return ClusterRoles(generation=1, epoch=epoch, primary=node, incarnation=f"{node}/1")


def alive(epoch: int) -> Alive:
    return Alive(generation=1, epoch=epoch, decided_ms=0)


def notice(epoch: int, key: str) -> Notice:
    return Notice(generation=1, epoch=epoch, decided_ms=0, key=key, text="told")


def acts(node: str, epoch: int, took: float | None) -> dict[str, object]:
    return takeover_entry(
        generation=1, epoch=epoch, at_ms=0, primary=node, reason="test", took_s=took
    )


ENTRIES = [
    decision_entry(RECORDS[0], generation=1, offset=0, at_ms=0),
    decision_entry(RECORDS[FIRST], generation=1, offset=FIRST, at_ms=0),
    acts("a", FIRST, None),
    decision_entry(RECORDS[6], generation=1, offset=6, at_ms=0),
    decision_entry(RECORDS[SECOND], generation=1, offset=SECOND, at_ms=0),
    acts("b", SECOND, 0.25),
]
HISTORY = [read_entry(value) for value in chained(ENTRIES, Tail())[0]]
RUN = Recorded(
    log=LOG,
    roles=[roles("a", FIRST), roles("b", SECOND)],
    outbox=[notice(FIRST, "x"), alive(FIRST), notice(SECOND, "y")],
    history=HISTORY,
    sightings=[Sighting("a", FIRST, 1.0, 1.1), Sighting("b", SECOND, 2.0, 2.1)],
)


def test_a_run_without_fault_has_no_problem() -> None:
    assert problems(RUN) == []
    assert list(accepted_claims(LOG)) == [FIRST, SECOND]
    assert took_s(HISTORY) == {FIRST: None, SECOND: 0.25}


def test_a_question_asked_before_the_newer_answer_proves_nothing() -> None:
    late = Sighting("a", FIRST, 2.05, 2.5)
    assert problems(replace(RUN, sightings=[*RUN.sightings, late])) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            {"sightings": [*RUN.sightings, Sighting("a", SECOND, 2.0, 2.1)]},
            f"epoch {SECOND} had 2 actors: a, b",
        ),
        (
            {"sightings": [*RUN.sightings, Sighting("a", FIRST, 2.2, 2.3)]},
            f"a acted in epoch {FIRST} after b had in epoch {SECOND}",
        ),
        (
            {"sightings": [Sighting("a", 8, 1.0, 1.1)]},
            "a acted in epoch 8, which nobody had claimed",
        ),
        (
            {"roles": [roles("b", SECOND), roles("a", FIRST)]},
            f"ha.roles went back from epoch {SECOND} to {FIRST}",
        ),
        (
            {"roles": [replace(roles("b", SECOND), incarnation="b/2")]},
            f"ha.roles names b/2 in epoch {SECOND}",
        ),
        (
            {"outbox": [alive(FIRST), alive(SECOND), alive(FIRST)]},
            f"an effect of epoch {FIRST} came after one of epoch {SECOND}",
        ),
        ({"outbox": [alive(8)]}, "an effect of epoch 8, which nobody had claimed"),
        (
            {"outbox": [notice(FIRST, "x"), notice(SECOND, "x")]},
            "Notice x stands 2 times in the outbox",
        ),
        (
            {"history": [*HISTORY[:3], *HISTORY[4:]]},
            "ha.history: entry 4 does not follow the one before it",
        ),
        (
            {"history": HISTORY[:3]},
            f"ha.history tells of the claims [{FIRST}], ha.log of [{FIRST}, {SECOND}]",
        ),
        ({"history": [*HISTORY, HISTORY[5]]}, f"epoch {SECOND} began to act 2 times"),
        ({"log": [LOG[1], LOG[0], *LOG[2:]]}, "ha.log was not read in order"),
        ({"log": LOG[1:]}, "ha.log was read from offset 1 on, not from its start"),
    ],
)
def test_what_is_wrong_is_said(wrong: dict[str, object], said: str) -> None:
    assert said in problems(replace(RUN, **wrong))  # type: ignore[arg-type]  # fields of a run

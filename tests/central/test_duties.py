"""What a primary owes: who is primary, each decision once, one notice, and a sign of life."""

import json
from dataclasses import replace
from typing import Any

from services.central.roles.duties import Duties, RolesTopics, cluster_roles, owed, takeover_key
from services.central.roles.outbox import Notice, OutboxState, decode_item, evolve
from shared.roles.cluster import decode_roles
from shared.roles.fold import Member, RolesState
from shared.roles.history import Tail, decision_entry, problems, read_entry
from shared.roles.records import Claim, Config
from shared.topics import HA_HISTORY, HA_LOG, HA_ROLES, OUTBOX, Outgoing

TOPICS = RolesTopics(log=HA_LOG, roles=HA_ROLES, history=HA_HISTORY, outbox=OUTBOX)
CLAIM = Claim(incarnation="a/1", expected_epoch=-1, reason="start", by="r")


def member(node: str) -> Member:
    return Member(f"{node}", f"{node}/1", 20, 100, 0, 0.0, is_fit=True, url=f"http://{node}")


STATE = RolesState(
    config=Config(),
    ticks=20,
    epoch=9,
    holder="a/1",
    since_ms=1_000,
    reason="start",
    members={"a/1": member("a"), "b/1": member("b")},
    offset=30,
)
DECISIONS = (
    decision_entry(Config(), generation=1, offset=0, at_ms=1),
    decision_entry(CLAIM, generation=1, offset=9, at_ms=2),
)
FIRST = Duties(
    roles=STATE, now_ms=5_000, brokers="k:1", took_s=0.25, written=None, tail=Tail(),
    decisions=DECISIONS, outbox=OutboxState(), committed_tick=20,
)  # fmt: skip


def values(duties: Duties, topic: str) -> list[Any]:
    return [each.value for each in owed(duties, TOPICS).records if each.topic == topic]


def settled() -> Duties:
    """Return what is known once the first transaction was committed and read back."""
    first = owed(FIRST, TOPICS)
    outbox = OutboxState()
    for record in first.records:
        if record.topic == OUTBOX.name:
            outbox = evolve(outbox, decode_item(record.value))
    return replace(FIRST, written=first.roles, tail=first.tail, outbox=outbox)


def test_the_first_transaction_says_who_is_primary_and_copies_every_decision() -> None:
    (roles,) = values(FIRST, HA_ROLES.name)
    assert decode_roles(roles) == cluster_roles(FIRST)
    assert decode_roles(roles).standbys == ("b",)
    entries = [read_entry(value) for value in values(FIRST, HA_HISTORY.name)]
    assert [entry["is"] for entry in entries] == ["config", "claim", "acts"]
    assert list(problems(entries)) == []
    (item,) = values(FIRST, OUTBOX.name)
    told = decode_item(item)
    assert isinstance(told, Notice)
    assert told.key == takeover_key(1, 9)
    assert "0.25 s" in told.text


def test_an_own_notice_is_not_written_again_before_it_is_read() -> None:
    first = owed(FIRST, TOPICS)
    assert first.outbox == settled().outbox
    again = replace(FIRST, written=first.roles, tail=first.tail)
    assert owed(replace(again, outbox=first.outbox), TOPICS).records == []
    # With what was read so far it would be.
    assert len(values(again, OUTBOX.name)) == 1


def test_then_nothing_is_owed_but_a_sign_of_life() -> None:
    duties = settled()
    assert owed(duties, TOPICS).records == []
    (alive,) = owed(replace(duties, committed_tick=17), TOPICS).records
    assert json.loads(alive.value or b"")["is"] == "alive"


def test_what_the_primary_before_still_wrote_is_not_written_again() -> None:
    first = owed(FIRST, TOPICS)
    duties = replace(settled(), written=None, tail=first.tail)
    kinds = [json.loads(value)["is"] for value in values(duties, HA_HISTORY.name)]
    assert kinds == ["acts"]
    assert values(duties, OUTBOX.name) == []


def test_a_standby_that_came_or_went_is_told_once() -> None:
    duties = settled()
    alone = replace(duties, roles=STATE._replace(members={"a/1": member("a")}))
    (record,) = owed(alone, TOPICS).records
    assert isinstance(record, Outgoing)
    assert decode_roles(record.value).standbys == ()


def test_a_delivered_notice_is_written_down() -> None:
    duties = replace(settled(), delivered=(takeover_key(1, 9), "of nobody"))
    (record,) = owed(duties, TOPICS).records
    assert json.loads(record.value or b"")["key"] == takeover_key(1, 9)

"""Which name a machine that joins may have."""

from dataclasses import replace

import pytest

from services.central.brokers import keeper
from services.central.brokers.keeper import number_of
from services.central.join.invites import JoinsAs
from services.central.join.names import (
    JUST_ADMITTED_MS,
    Known,
    Newcomer,
    listed_centrals,
    why_taken,
)
from shared.membership import Controller, Facts, Member
from shared.roles.fold import CANDIDATE_TICKS
from shared.settings_events import Invite
from tests.roles.histories import started

NOW_MS = 1_700_000_000_000
NEW, OLD = "aa" * 32, "bb" * 32
STANDBY, WITNESS, COLLECTOR = JoinsAs.STANDBY, JoinsAs.WITNESS, JoinsAs.COLLECTOR
MACHINES = (STANDBY, WITNESS)
NOBODY = Known((), {"central-a": True}, None, (), NOW_MS)


def used(name: str, joins_as: JoinsAs = STANDBY, *, ago_ms: int = 0) -> Invite:
    return Invite(
        "11" * 8, joins_as.value, "cc" * 32, NOW_MS, "central-a", name, OLD, NOW_MS - ago_ms
    )


def brokers(*members: Member, voters: tuple[int, ...] = (1,)) -> Facts:
    home = Member(1, "host-a", "h", 10, is_alive=True)
    everybody = (home, *members)
    controllers = tuple(
        Controller(each.number, bytes(16), each.number in voters, 0) for each in everybody
    )
    return Facts("id", everybody, controllers, (), {})


def broker(name: str, *, is_alive: bool, number: int = 0) -> Member:
    return Member(number or number_of(name), name, "h", 20, is_alive)


def why(name: str, joins_as: JoinsAs, known: Known, **more: object) -> str:
    return why_taken(Newcomer(name, joins_as, NEW)._replace(**more), known)  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize("joins_as", MACHINES)
def test_nobody_joins_under_the_name_of_a_central_that_is_heard(joins_as: JoinsAs) -> None:
    known = NOBODY._replace(centrals={"central-a": True, "central-b": True, "central-c": False})

    # The first one is the primary's own.
    for name in ("central-a", "central-b"):
        said = why(name, joins_as, known)
        assert (f"{name} runs already" in said, "--name" in said) == (True, True)
    # One that only is silent may come back.
    assert "`steadflow standby remove central-c`" in why("central-c", joins_as, known)
    assert not why("central-d", joins_as, known)
    assert not why("central-b", COLLECTOR, known)


def test_centrals_that_are_listed_are_known_by_what_the_log_says() -> None:
    log = started("central-a", "central-b", primary="central-a")
    assert listed_centrals(log.state, "central-x") == {
        "central-a": True, "central-b": True, "central-x": True,
    }  # fmt: skip

    log.tick(CANDIDATE_TICKS + 1, beating=("central-a",))
    assert listed_centrals(log.state, "central-a") == {"central-a": True, "central-b": False}


def test_who_comes_again_by_its_invite_may_be_there() -> None:
    known = Known(
        {"collector-1"},
        {"central-c": True},
        brokers(broker("central-c", is_alive=True)),
        (used("central-c"),),
        NOW_MS,
    )

    assert not why("central-c", STANDBY, known, is_again=True)
    assert not why("collector-1", COLLECTOR, known, is_again=True)
    assert why("central-c", STANDBY, known)
    assert why("collector-1", COLLECTOR, known)


@pytest.mark.parametrize("joins_as", MACHINES)
def test_no_other_disk_joins_under_the_name_of_one_that_votes(joins_as: JoinsAs) -> None:
    member = broker("m7", is_alive=False)
    voting = NOBODY._replace(facts=brokers(member, voters=(1, member.number)))

    for is_again in (False, True):
        assert "--replace m7" in why("m7", joins_as, voting, is_again=is_again)
    # Its vote was taken: the same machine comes back before its broker is forgotten.
    assert not why("m7", joins_as, NOBODY._replace(facts=brokers(member)))


@pytest.mark.parametrize("joins_as", MACHINES)
def test_nobody_joins_under_the_name_of_a_broker_that_lives(joins_as: JoinsAs) -> None:
    facts = brokers(broker("m7", is_alive=True), broker("m8", is_alive=False, number=8))
    known = NOBODY._replace(facts=facts)

    assert "a broker of m7 answers" in why("m7", joins_as, known)
    # The first machine's broker has no number by its name: two of one name would be there.
    assert "host-a" in why("host-a", joins_as, known)
    assert "m8" in why("m8", joins_as, known)


def test_two_names_of_one_number_are_not_both_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.central.join.names.number_of", lambda name: 7)
    known = NOBODY._replace(facts=brokers(broker("m7", is_alive=False, number=7)))

    assert "the broker of m7 has the number" in why("m9", WITNESS, known)
    assert keeper.number_of("m9") != 7


def test_a_standby_that_still_copies_keeps_its_name_until_it_left() -> None:
    copying = NOBODY._replace(invites=(used("central-c", ago_ms=10 * JUST_ADMITTED_MS),))

    for joins_as in MACHINES:
        assert "`steadflow standby remove central-c`" in why("central-c", joins_as, copying)
    # The same machine, by another token: the answer to its first may have been lost.
    assert not why("central-c", STANDBY, copying, key=OLD)
    # To forget it removes its invites, as its central is forgotten.
    assert not why("central-c", STANDBY, NOBODY)


@pytest.mark.parametrize("joins_as", [WITNESS, COLLECTOR])
def test_two_that_join_at_once_under_one_name_are_told_apart(joins_as: JoinsAs) -> None:
    before = used("twin", joins_as)

    assert "admitted just now" in why("twin", joins_as, NOBODY._replace(invites=(before,)))
    # It would be heard by now, and its broker known.
    for over in (
        replace(before, used_at_ms=NOW_MS - JUST_ADMITTED_MS),
        replace(before, used_by=""),
    ):
        assert not why("twin", joins_as, NOBODY._replace(invites=(over,)))
    other = STANDBY if joins_as is COLLECTOR else COLLECTOR
    assert not why("twin", other, NOBODY._replace(invites=(before,)))


@pytest.mark.parametrize("joins_as", [WITNESS, COLLECTOR])
def test_who_renews_its_certificate_keeps_its_name(joins_as: JoinsAs) -> None:
    member = broker("m7", is_alive=False, number=7)
    known = NOBODY._replace(
        collectors=("m7",), facts=brokers(member, voters=(1, 7)), invites=(used("m7", joins_as),)
    )
    assert why("m7", joins_as, known)
    assert not why("m7", joins_as, known, renews=True)

"""A central's role as it is shown: only what the whole log says, never what it said once."""

from services.central.roles.role import Clocks, Role
from shared.roles.acting import Read
from shared.roles.fold import RolesState
from tests.roles.histories import RolesLog, started


def role() -> Role:
    return Role("c", boot_id="1", clocks=Clocks(lambda: 0, lambda: 0.0))


def moved() -> RolesLog:
    """A log in which "a" was the primary, and "b" is."""
    log = started("a", "b")
    log.tick(30, beating=("b",))
    log.claim("b")
    return log


def test_who_was_the_primary_once_is_told_by_nobody_who_still_reads() -> None:
    log, here = moved(), role()
    incarnation = here.acting.incarnation
    for (record, _), state in zip(log.records, log.states, strict=True):
        here.note_past(Read(record, state))
        assert (here.state, here.primary) == (RolesState(), "")

    here.arrive()

    assert (here.state, here.primary) == (log.state, "b")
    assert here.acting.incarnation == incarnation
    here.arrive()
    assert here.primary == "b"


def test_of_another_log_nothing_read_before_is_left() -> None:
    log, here = moved(), role()
    here.note_past(Read(log.records[-1][0], log.state))

    here.begin_again()
    here.arrive()

    assert here.state == RolesState()

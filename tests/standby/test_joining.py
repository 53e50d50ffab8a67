"""A join goes through its phases, may be interrupted at each, and goes on."""

import random

import pytest

from services.standby.joining import (
    CaughtUp,
    Checked,
    Copied,
    Event,
    Failed,
    Forced,
    Joining,
    Phase,
    Proven,
    Registered,
    Restored,
    SnapshotLost,
    SnapshotMade,
    Work,
    began_again,
    evolve,
    from_json,
    owed,
    to_json,
)
from services.standby.preflight import Light, Line

GREEN = Line("release", Light.GREEN, "1.0")
RED = Line("disk", Light.RED, "full", "make room")
WAY: list[tuple[Work, Event]] = [
    (Work.REGISTER, Registered()),
    (Work.CHECK, Checked((GREEN,))),
    (Work.ASK_SNAPSHOT, SnapshotMade("s1", 30_000)),
    (Work.COPY, Copied(40, 100)),
    (Work.COPY, Copied(100, 100, is_whole=True)),
    (Work.RESTORE, Restored()),
    (Work.FOLLOW, CaughtUp()),
    (Work.PROVE, Proven(60_000)),
]
OTHERS: list[Event] = [Failed("no answer"), Forced(), SnapshotLost("gone"), Checked((RED,))]


def after(*events: Event) -> Joining:
    joining = Joining()
    for event in events:
        joining = evolve(joining, event)
    return joining


def test_the_way_from_nothing_to_a_proven_standby() -> None:
    joining = Joining()
    for work, event in WAY:
        assert owed(joining) is work
        joining = evolve(joining, event)

    assert (joining.phase, joining.proven_until_ms) == (Phase.STANDBY, 60_000)
    assert owed(joining) is Work.WATCH


def test_interrupted_at_any_point_it_goes_on_from_there() -> None:
    joining = Joining()
    for work, event in WAY:
        joining = began_again(from_json(to_json(joining)))
        assert owed(joining) is work
        joining = evolve(joining, event)

    assert joining.phase is Phase.STANDBY


def test_red_stops_and_a_person_may_force_it() -> None:
    refused = after(Registered(), Checked((GREEN, RED)))

    assert (refused.phase, owed(refused)) == (Phase.REFUSED, Work.NOTHING)
    assert began_again(refused).phase is Phase.CHECKING
    assert owed(evolve(refused, Forced())) is Work.ASK_SNAPSHOT
    assert after(Forced(), Registered(), Checked((RED,))).phase is Phase.ASKING


def test_which_red_lines_were_forced_is_kept() -> None:
    checks = (Registered(), Checked((GREEN, RED), 5))
    before, behind = after(Forced(), *checks), after(*checks, Forced())

    for joining in (before, behind, from_json(to_json(before))):
        assert (joining.forced, joining.forced_ms) == (("disk",), 5)
    # What stops nothing was not forced.
    for joining in (after(*checks), after(Forced(), Registered(), Checked((GREEN,), 5))):
        assert joining.forced == ()
    # A standby that turns red later joined without.
    assert evolve(after(*(event for _, event in WAY)), Checked((RED,), 9)).forced == ()

    slow = Copied(1, 100, pace_light=Light.RED.value)
    copying = evolve(evolve(before, SnapshotMade("s1", 30_000)), slow)
    assert evolve(copying, slow).forced == ("disk", "time to copy")


def test_a_snapshot_that_is_gone_is_asked_for_again() -> None:
    joining = after(*(event for _, event in WAY[:4]), SnapshotLost("released"))

    assert (joining.phase, joining.snapshot, joining.problem) == (Phase.ASKING, "", "released")


def test_events_that_do_not_fit_change_no_phase() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    events = [event for _, event in WAY]
    order = list(Phase)
    for _ in range(500):
        joining = Joining()
        for event in rng.choices(events + OTHERS, k=30):
            before, joining = joining, evolve(joining, event)
            step = order.index(joining.phase) - order.index(before.phase)
            # Forward through all phases but the refusal; back only for another snapshot.
            assert step in (0, 1, 2) or isinstance(event, SnapshotLost)
            if joining.phase is Phase.STANDBY:
                assert joining.proven_until_ms


def test_a_problem_is_kept_until_something_goes_well() -> None:
    joining = after(Failed("the primary did not answer"))
    assert joining.problem

    assert evolve(joining, Registered()).problem == ""


def test_what_no_other_try_mends_is_said_until_the_process_starts_again() -> None:
    stuck = after(Failed("this token was used already", is_final=True))

    assert stuck.is_stuck
    assert not began_again(from_json(to_json(stuck))).is_stuck


@pytest.mark.parametrize("content", [None, {}, {"phase": "flying", "lines": []}, {"lines": 3}])
def test_a_damaged_state_is_named(content: object) -> None:
    with pytest.raises(ValueError, match="no state of a join"):
        from_json(content)

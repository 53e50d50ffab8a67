"""Which records of `ha.log` may go: what is left has a beginning, and every open decision."""

import random
from collections.abc import Callable, Sequence

import pytest

from services.central.roles.deletable import APART, deletable_before

Rule = Callable[[Sequence[int], int | None], int | None]


@pytest.mark.parametrize(
    ("snapshots", "first_uncopied", "before"),
    [
        ((), None, None),
        ((1_000,), None, None),
        ((1_000, 1_999), None, None),
        ((1_000, 2_000), None, 1_001),
        # Three registries wrote one at the same moment, twice.
        ((1_000, 1_003, 1_004, 2_003, 2_007), None, 1_005),
        ((1_000, 2_000, 3_000, 4_000), None, 3_001),
        ((1_000, 2_000), 5, None),
        ((1_000, 2_000), 1_000, None),
        ((1_000, 2_000), 1_001, 1_001),
        ((1_000, 2_000, 3_000), 1_500, 1_001),
        ((1_000, 2_000, 3_000), 9_000, 2_001),
    ],
)
def test_up_to_the_newest_snapshot_that_is_old_enough_and_before_an_open_decision(
    snapshots: tuple[int, ...], first_uncopied: int | None, before: int | None
) -> None:
    assert deletable_before(snapshots, first_uncopied=first_uncopied) == before


def begins_at(snapshots: Sequence[int], start: int) -> int | None:
    """Return the offset a new replica folds on from, as `HaLog` finds it; None: unreadable."""
    if start == 0:
        return -1
    return next((offset for offset in snapshots if offset >= start - 1), None)


def lost(rule: Rule, seed: int) -> tuple[bool, int, int]:
    """Live through a random log; return whether it became unreadable, decisions lost, its start."""
    chance = random.Random(seed)
    snapshots: list[int] = []
    open_decisions: list[int] = []
    start = end = 0
    is_unreadable, lost_decisions = False, 0
    for _ in range(200):
        end += chance.randint(1, 400)
        match chance.choice(("snapshot", "snapshot", "decision", "copied")):
            case "snapshot":
                snapshots += [end + twin for twin in range(chance.choice((1, 1, 3)))]
            case "decision":
                open_decisions.append(end)
            case _:
                open_decisions.clear()
        before = rule(snapshots, open_decisions[0] if open_decisions else None)
        start = max(start, before or 0)
        base = begins_at(snapshots, start)
        if base is None:
            is_unreadable = True
        else:
            lost_decisions += sum(offset <= base for offset in open_decisions)
    return is_unreadable, lost_decisions, start


@pytest.mark.parametrize("seed", range(50))
def test_a_new_replica_finds_a_beginning_and_every_open_decision(seed: int) -> None:
    is_unreadable, decisions, start = lost(
        lambda snapshots, first: deletable_before(snapshots, first_uncopied=first), seed
    )
    assert (is_unreadable, decisions) == (False, 0)
    assert start > 10 * APART


def test_without_the_guard_of_decisions_some_are_lost() -> None:
    def unguarded(snapshots: Sequence[int], _first: int | None) -> int | None:
        return deletable_before(snapshots, first_uncopied=None)

    assert sum(lost(unguarded, seed)[1] for seed in range(50)) > 0


def test_cut_at_the_decision_alone_it_is_not_folded_by_who_begins_behind_it() -> None:
    """The decision stands in the log then, but before the first snapshot that is left."""

    def cut_there(snapshots: Sequence[int], first: int | None) -> int | None:
        before = deletable_before(snapshots, first_uncopied=None)
        return before if before is None or first is None else min(before, first)

    assert sum(lost(cut_there, seed)[1] for seed in range(50)) > 0


def test_cut_behind_the_newest_snapshot_the_log_has_no_beginning() -> None:
    def behind(snapshots: Sequence[int], _first: int | None) -> int | None:
        return snapshots[-1] + 2 if snapshots else None

    assert lost(behind, seed=1)[0]

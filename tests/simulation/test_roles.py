"""Roles under every fault a seed draws: one actor, nothing lost, nothing twice, and soon again."""

import gc
import random
import re
from collections.abc import Iterator

import pytest

from shared.roles.fold import START, evolve
from shared.roles.records import decode_record, encode_record
from shared.roles.snapshot import snapshot_of
from tests.simulation.committed import Violation
from tests.simulation.world import SAFEGUARDS, World, schedule

SEEDS = 500
CONTROL_SEEDS = 3_000
"""As many are tried at most: the rarest is found in one schedule of a hundred."""
FOUND_BY = {
    "barrier": "an effect of epoch .* after",
    "epoch check": "goes back from epoch",
    "fence": "an effect of epoch .* after",
    "incarnations": "nobody acts|effects missing",
    "lease": "and .* act$",
    "outbox": "effects twice",
    "trimming": "has flows twice",
    "valid ticks": "and .* act$",
}
HANG = {"faults": False, "hang_at_ms": 5_000, "silent_ms_max": 5_000}


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    """Looking for garbage would take a sixth of the time."""
    gc.disable()
    yield
    gc.enable()


def seeds(count: int) -> range:
    first = random.randrange(1 << 40)
    print(f"seeds from {first}")
    return range(first, first + count)


def found(seed: int, *without: str, **more: object) -> str:
    """Return what is broken in the schedule of a seed, empty for nothing."""
    try:
        schedule(seed, *without, **more).run()
    except Violation as violation:
        return str(violation)
    return ""


def test_whatever_fails_roles_hold() -> None:
    for seed in seeds(SEEDS):
        assert found(seed) == "", f"seed {seed}"


def test_replay_gives_the_same_state() -> None:
    for seed in seeds(20):
        log = schedule(seed).run().log
        state = START
        for offset, append_ms, record in log.stored:
            read = decode_record(encode_record(record))
            state = evolve(state, read, offset=offset, append_ms=append_ms)
            assert state == log.states[offset]
        assert snapshot_of(state) == snapshot_of(log.state)


def test_a_seed_gives_the_same_schedule_also_if_all_is_read() -> None:
    for seed in seeds(20):
        worlds = [schedule(seed, reads_all=reads_all).run() for reads_all in (False, False, True)]

        first, *others = [
            (world.log.stored, world.committed.effects, world.collectors.flows.records)
            for world in worlds
        ]
        assert all(other == first for other in others)


def test_a_primary_whose_reader_hangs_is_replaced() -> None:
    for seed in seeds(20):
        World(seed, **HANG).run()  # type: ignore[arg-type]  # keywords of a test


@pytest.mark.parametrize("safeguard", sorted(SAFEGUARDS - {"acknowledged ticks"}))
def test_without_a_safeguard_the_violation_is_found(safeguard: str) -> None:
    for seed in seeds(CONTROL_SEEDS):
        if re.search(FOUND_BY[safeguard], found(seed, safeguard)):
            return
    raise AssertionError(f"{CONTROL_SEEDS} schedules without {safeguard} found nothing")


def test_without_acknowledged_ticks_a_hung_reader_keeps_the_role() -> None:
    with pytest.raises(Violation, match="nobody act"):
        World(next(iter(seeds(1))), without={"acknowledged ticks"}, **HANG).run()  # type: ignore[arg-type]  # keywords of a test


def test_without_the_fence_readers_refuse_what_is_of_an_older_epoch() -> None:
    refused = 0
    for seed in seeds(150):
        world = schedule(seed, "fence", judges_log=False).run()
        refused += world.committed.outbox.refused
    assert refused > 0


def test_without_fence_and_epoch_check_readers_take_what_is_of_an_older_epoch() -> None:
    for seed in seeds(CONTROL_SEEDS):
        if "accepted after" in found(seed, "fence", "epoch check", judges_log=False):
            return
    raise AssertionError(f"{CONTROL_SEEDS} schedules found nothing")

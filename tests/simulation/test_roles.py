"""Roles under every fault a seed draws: one actor, nothing lost, nothing twice, and soon again."""

import random

import pytest

from shared.roles.fold import START, evolve
from shared.roles.records import decode_record, encode_record
from tests.simulation.world import SAFEGUARDS, Violation, World

SEEDS = 500
CONTROL_SEEDS = 400
HANG = {"faults": False, "hang_at_ms": 5_000, "silent_ms_max": 5_000}


def seeds(count: int) -> range:
    first = random.randrange(1 << 40)
    print(f"seeds from {first}")
    return range(first, first + count)


def schedule(seed: int, without: str = "") -> World:
    return World(seed, centrals=2 + seed % 2, registries=1 + 2 * (seed % 3 > 0), without=without)


def test_whatever_fails_roles_hold() -> None:
    for seed in seeds(SEEDS):
        try:
            schedule(seed).run()
        except Violation as violation:
            raise AssertionError(f"seed {seed}: {violation}") from violation


def test_replay_gives_the_same_state() -> None:
    for seed in seeds(20):
        world = schedule(seed).run()
        state = START
        for offset, record in enumerate(world.records):
            read = decode_record(encode_record(record))
            state = evolve(state, read, offset=offset, append_ms=world.append_ms[offset])
            assert state == world.states[offset]


def test_a_primary_whose_reader_hangs_is_replaced() -> None:
    for seed in seeds(20):
        World(seed, **HANG).run()  # type: ignore[arg-type]  # keywords of a test


@pytest.mark.parametrize("safeguard", sorted(SAFEGUARDS - {"acknowledged ticks"}))
def test_without_a_safeguard_the_violation_is_found(safeguard: str) -> None:
    for seed in seeds(CONTROL_SEEDS):
        try:
            schedule(seed, safeguard).run()
        except Violation:
            return
    raise AssertionError(f"{CONTROL_SEEDS} schedules without {safeguard} found nothing")


def test_without_acknowledged_ticks_a_hung_reader_keeps_the_role() -> None:
    with pytest.raises(Violation, match="nobody acted"):
        World(next(iter(seeds(1))), without="acknowledged ticks", **HANG).run()  # type: ignore[arg-type]  # keywords of a test

"""When the time of a stream goes on, stands still, or ends the stream."""

import pytest

from services.ingest.receive.clock import StreamClock, advance, start

NOON_MS = 1_700_000_000_000


@pytest.mark.parametrize(
    ("wall_step_ms", "monotonic_step_ms", "received_step_ms"),
    [
        (10, 10, 10),
        (0, 0, 0),
        (3_600_000, 3_600_000, 3_600_000),
        (-1_000, 10, 0),
        (-1, 10, 0),
        (5_010, 10, 5_010),
        (10, 5_010, 10),
    ],
)
def test_small_differences_stay_in_the_stream(
    wall_step_ms: int, monotonic_step_ms: int, received_step_ms: int
) -> None:
    clock = advance(start(NOON_MS, 0), NOON_MS + wall_step_ms, monotonic_step_ms)
    assert clock is not None
    assert clock.received_at_ms == NOON_MS + received_step_ms


@pytest.mark.parametrize(
    ("wall_step_ms", "monotonic_step_ms"),
    [
        (-1_001, 10),
        (-3_600_000, 10),
        (3_600_000, 10),
        (5_011, 10),
        (10, 5_011),
    ],
)
def test_a_step_ends_the_stream(wall_step_ms: int, monotonic_step_ms: int) -> None:
    assert advance(start(NOON_MS, 0), NOON_MS + wall_step_ms, monotonic_step_ms) is None


def test_small_steps_back_add_up_to_a_new_stream() -> None:
    clock = advance(start(NOON_MS, 0), NOON_MS - 600, 1)
    assert clock == StreamClock(NOON_MS - 600, 1, NOON_MS)
    assert advance(clock, NOON_MS - 1_200, 2) is None


def test_a_clock_that_is_slewed_stays_in_its_stream() -> None:
    clock: StreamClock | None = start(NOON_MS, 0)
    for second in range(1, 200):
        assert clock is not None
        clock = advance(clock, NOON_MS + second * 1_100, second * 1_000)
    assert clock is not None

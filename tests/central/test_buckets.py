"""Buckets of a chart."""

from hypothesis import given
from hypothesis import strategies as st

from services.central.pages.buckets import POINTS, STEPS_S, rates, starts_ms, step_s

MINUTE_MS = 60_000


@given(st.integers(0, 10**12), st.integers(1, 3 * 366 * 1440))
def test_any_range_fits_a_screen(from_ms: int, minutes: int) -> None:
    to_ms = from_ms + minutes * MINUTE_MS
    step = step_s(from_ms, to_ms)
    starts = starts_ms(from_ms, to_ms, step)

    assert len(starts) <= POINTS + 2 or step == STEPS_S[-1]
    assert starts[0] <= from_ms
    assert to_ms <= starts[-1] + step * 1000


def test_an_hour_is_shown_by_minutes_and_a_day_by_ten() -> None:
    assert step_s(0, 60 * MINUTE_MS) == 60
    assert step_s(0, 1440 * MINUTE_MS) == 600


def test_a_bucket_without_flows_is_zero_and_one_without_data_is_none() -> None:
    starts = starts_ms(0, 4 * MINUTE_MS, 60)

    found = rates(
        {0: 60, MINUTE_MS: 7500},
        starts,
        step=60,
        metric="bytes",
        from_ms=0,
        until_ms=3 * MINUTE_MS,
    )

    assert found == [8, 1000, 0, None]


def test_a_bucket_that_is_not_whole_is_measured_by_what_it_covers() -> None:
    starts = starts_ms(0, 2 * MINUTE_MS, 60)

    found = rates(
        {0: 600, MINUTE_MS: 300},
        starts,
        step=60,
        metric="packets",
        from_ms=30_000,
        until_ms=MINUTE_MS + 30_000,
    )

    assert found == [20, 10]


def test_a_bucket_that_has_just_begun_is_not_shown() -> None:
    found = rates({0: 600}, [0], step=60, metric="packets", from_ms=0, until_ms=19_000)

    assert found == [None]


def test_first_flows_at_the_end_of_a_bucket_are_shown() -> None:
    found = rates(
        {60_000: 4000},
        [0, 60_000, 120_000],
        step=60,
        metric="flows",
        from_ms=118_000,
        until_ms=180_000,
    )

    assert found == [None, 200.0, 0.0]

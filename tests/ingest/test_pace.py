"""Rates from counters that other processes write now and then."""

from collections.abc import Iterable

import pytest

from services.ingest.pace import KEPT_S, Count, Pace, paced


def rate_after(told: Iterable[Count | None], *, now_s: float | None = None) -> float | None:
    pace: Pace | None = None
    at_s = 0.0
    for count in told:
        at_s = at_s if count is None else count.at_s
        pace = paced(pace, count, now_s=at_s)
    if now_s is not None and pace is not None:
        pace = paced(pace, pace.newest, now_s=now_s)
    return None if pace is None else pace.per_s


@pytest.mark.parametrize(
    ("told", "per_s"),
    [
        ([], None),
        ([Count(70, 10.0)], None),
        ([Count(70, 10.0), Count(170, 15.0)], 20.0),
        ([Count(70, 10.0), Count(70, 15.0)], 0.0),
        ([Count(0, 10.0), Count(100, 15.0), Count(110, 20.0)], 2.0),
        # Started again in between: it counts from 0.
        ([Count(1000, 10.0), Count(30, 15.0)], 6.0),
        # The clock was set back.
        ([Count(70, 10.0), Count(170, 5.0)], None),
        ([Count(70, 10.0), Count(170, 5.0), Count(180, 10.0)], 2.0),
        # Its file is gone.
        ([Count(70, 10.0), Count(170, 15.0), None], None),
    ],
)
def test_a_rate_is_what_was_counted_between_two_writings(
    told: list[Count | None], per_s: float | None
) -> None:
    assert rate_after(told) == per_s


def test_what_is_not_written_again_keeps_its_rate_for_a_while() -> None:
    told = [Count(0, 10.0), Count(100, 20.0)]

    assert rate_after(told, now_s=20.0 + KEPT_S) == 10.0
    assert rate_after(told, now_s=20.1 + KEPT_S) is None

"""Which periods a central still has to publish; pure."""

from collections.abc import Iterator
from typing import NamedTuple

from services.central.progress import HOUR_MS, Progress
from shared.digest_records import HOUR, MINUTE, PERIOD_MS, Passed

STEP_MS = 2 * HOUR_MS
"""Of minutes asked for at once: at most 120 records; hours come with the range they end in."""


class Span(NamedTuple):
    """Periods of a level that begin in the range, UTC."""

    level: int
    from_ms: int
    to_ms: int


def passed_of(central: str, progress: Progress) -> Passed:
    """Return how far `central` has closed a stream."""
    ended = progress.ended and not progress.open_minutes and not progress.open_hours
    minutes_ms, hours_ms = progress.minutes_until_ms, progress.hours_until_ms
    if ended:
        # The last minute and hour are closed too.
        newest_ms = max(progress.newest_ms, minutes_ms)
        minutes_ms = newest_ms // PERIOD_MS[MINUTE] * PERIOD_MS[MINUTE] + PERIOD_MS[MINUTE]
        hours_ms = newest_ms // HOUR_MS * HOUR_MS + HOUR_MS
    return Passed(
        central=central,
        stream=progress.stream,
        minutes_until_ms=minutes_ms,
        hours_until_ms=hours_ms,
        ended=ended,
    )


def owed(before: Passed | None, now: Passed, *, oldest_ms: int) -> Iterator[Span]:
    """Yield, oldest first, where closed periods lie that were not published yet.

    oldest_ms: what begins earlier is not compared any more, UTC.
    """
    for level, since_ms, until_ms in (
        (MINUTE, 0 if before is None else before.minutes_until_ms, now.minutes_until_ms),
        (HOUR, 0 if before is None else before.hours_until_ms, now.hours_until_ms),
    ):
        first_ms = max(since_ms, oldest_ms) // PERIOD_MS[level] * PERIOD_MS[level]
        step_ms = STEP_MS if level == MINUTE else 60 * STEP_MS
        for from_ms in range(first_ms, until_ms, step_ms):
            yield Span(level, from_ms, min(from_ms + step_ms, until_ms))

"""What the scrub looks at next: the last hour again and again, everything older in turn; pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from shared.digest_records import HOUR, PERIOD_MS, Period

HOUR_MS = PERIOD_MS[HOUR]
RECENT_EVERY_S = 20.0
"""From the start of one look at the last hour to that of the next, if it takes no longer."""
SHARE = 0.25
"""Of the time, that a scrub may take of one core."""


class Chunk(NamedTuple):
    """The periods of a stream that begin in a range, UTC; at most an hour of minutes."""

    stream: int
    from_ms: int
    to_ms: int


@dataclass(slots=True)
class Round:
    """One look at all of some chunks, and how long the one before it took.

    took_s: from its first chunk to its last; None before it was through once.
    """

    chunks: list[Chunk] = field(default_factory=list)
    done: int = 0
    began_s: float = 0.0
    took_s: float | None = None

    def begin(self, chunks: Iterable[Chunk], now_s: float) -> None:
        """Start anew."""
        self.chunks, self.done, self.began_s = list(chunks), 0, now_s

    def next(self, now_s: float) -> Chunk | None:
        """Return the next chunk; None, and the time it took, once all were returned."""
        if self.done < len(self.chunks):
            self.done += 1
            return self.chunks[self.done - 1]
        if self.chunks:
            self.took_s = now_s - self.began_s
            self.chunks, self.done = [], 0
        return None


@dataclass(slots=True)
class ScrubOrder:
    """Two rounds: the last hour goes first whenever it is due.

    found_within_s: time between the starts of the last two looks at the last hour, so the longest
    that a change there goes unseen; None before the second.
    """

    recent: Round = field(default_factory=Round)
    older: Round = field(default_factory=Round)
    found_within_s: float | None = None

    def next(
        self, periods: Callable[[], Iterable[Period]], *, newest_ms: int, now_s: float
    ) -> Chunk | None:
        """Return what to look at now; None: nothing is due.

        periods: all there are, asked for only when a round begins. newest_ms: where the last hour
        ends, UTC. now_s: monotonic.
        """
        if (chunk := self.recent.next(now_s)) is not None:
            return chunk
        first = self.found_within_s is None and self.recent.took_s is None
        if first or now_s - self.recent.began_s >= RECENT_EVERY_S:
            if self.recent.took_s is not None:
                self.found_within_s = now_s - self.recent.began_s
            self.recent.begin(chunks_of(periods(), newest_ms - HOUR_MS, None), now_s)
            if (chunk := self.recent.next(now_s)) is not None:
                return chunk
        if (chunk := self.older.next(now_s)) is not None:
            return chunk
        if not self.older.chunks:
            self.older.begin(chunks_of(periods(), None, newest_ms - HOUR_MS), now_s)
        return self.older.next(now_s)


def chunks_of(periods: Iterable[Period], from_ms: int | None, to_ms: int | None) -> list[Chunk]:
    """Return the chunks with `periods` that end after `from_ms`, or begin before `to_ms`; in order.

    An hour that the bound divides is in both.
    """
    hours = {
        (period.starts_ms // HOUR_MS * HOUR_MS, period.stream)
        for period in periods
        if (from_ms is None or period.ends_ms > from_ms)
        and (to_ms is None or period.starts_ms < to_ms)
    }
    return [Chunk(stream, hour, hour + HOUR_MS) for hour, stream in sorted(hours)]


def pause_s(worked_s: float) -> float:
    """Return how long to rest after work, so that a scrub takes its SHARE."""
    return worked_s * (1 / SHARE - 1)

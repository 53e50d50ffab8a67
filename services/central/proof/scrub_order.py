"""What the scrub looks at next: the last hour again and again, everything older in turn; pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from shared.digest_records import HOUR, MINUTE, PERIOD_MS, Period

HOUR_MS = PERIOD_MS[HOUR]
MINUTE_MS = PERIOD_MS[MINUTE]
RECENT_EVERY_S = 20.0
"""From the start of one look at the last hour to that of the next, if it takes no longer."""
OLDER_EVERY_S = 60.0
"""The same of all that is older: a store with little of it rests."""
SHARE = 0.25
"""Of the time, that a scrub may take of one core."""


class Chunk(NamedTuple):
    """An hour of a stream, and of its minutes those that begin at or after `minutes_from_ms`."""

    stream: int
    hour_ms: int
    minutes_from_ms: int


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

    def is_due(self, now_s: float, every_s: float) -> bool:
        """Whether it may begin again: `every_s` after it began, at once if it never ended."""
        return self.took_s is None or now_s - self.began_s >= every_s

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
    """Two rounds: the last hour goes first whenever it is due, one older chunk at least between.

    found_within_s: time between the starts of the last two looks at the last hour, so the longest
    that a change there goes unseen; None before the second.
    """

    recent: Round = field(default_factory=Round)
    older: Round = field(default_factory=Round)
    found_within_s: float | None = None
    _is_older_next: bool = False

    def next(
        self, periods: Callable[[], Iterable[Period]], *, newest_ms: int, now_s: float
    ) -> Chunk | None:
        """Return what to look at now; None: nothing is due.

        periods: all there are, asked for only when a round begins. newest_ms: where the last hour
        ends, UTC. now_s: monotonic.
        """
        had_chunks = bool(self.recent.chunks)
        if (chunk := self.recent.next(now_s)) is not None:
            return chunk
        self._is_older_next = self._is_older_next or had_chunks
        if not self._is_older_next and self.recent.is_due(now_s, RECENT_EVERY_S):
            if self.recent.took_s is not None:
                self.found_within_s = now_s - self.recent.began_s
            self.recent.begin(recent_chunks(periods(), newest_ms - HOUR_MS), now_s)
            if (chunk := self.recent.next(now_s)) is not None:
                return chunk
        self._is_older_next = False
        if (chunk := self.older.next(now_s)) is None and self.older.is_due(now_s, OLDER_EVERY_S):
            self.older.begin(older_chunks(periods(), newest_ms - HOUR_MS), now_s)
            chunk = self.older.next(now_s)
        return chunk

    @property
    def older_found_within_s(self) -> float | None:
        """The longest that a change of what is older goes unseen; None before it was through once.

        Of a store that has nothing older it stays None.
        """
        return None if self.older.took_s is None else max(self.older.took_s, OLDER_EVERY_S)


def recent_chunks(periods: Iterable[Period], from_ms: int) -> list[Chunk]:
    """Return the hours with periods that end after `from_ms`, and of the first only its end."""
    return [
        Chunk(stream, hour_ms, max(hour_ms, from_ms // MINUTE_MS * MINUTE_MS))
        for hour_ms, stream in _hours(each for each in periods if each.ends_ms > from_ms)
    ]


def older_chunks(periods: Iterable[Period], to_ms: int) -> list[Chunk]:
    """Return the hours with periods that begin before `to_ms`, oldest first."""
    return [
        Chunk(stream, hour_ms, hour_ms)
        for hour_ms, stream in _hours(each for each in periods if each.starts_ms < to_ms)
    ]


def _hours(periods: Iterable[Period]) -> list[tuple[int, int]]:
    return sorted({(each.starts_ms // HOUR_MS * HOUR_MS, each.stream) for each in periods})


def pause_s(worked_s: float) -> float:
    """Return how long to rest after work, so that a scrub takes its SHARE."""
    return worked_s * (1 / SHARE - 1)

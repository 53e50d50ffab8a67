"""Sliding windows over the sums on `rates`, pure: the clock comes in.

A range of a stream is *set*, never added: numbers of datagrams that are in already are not counted
again, however often and however cut they come. Ranges are cut the same when they are sent again
(decision 0003), so in all but a lost journal a repeat is the same range and changes nothing.

Everything stands in columns: one small batch per range for half a minute, then one per second.
What is older than six minutes is forgotten.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from services.central.live.entries import NOTHING, Entries, Numbers, entries_of, merge, spread
from shared.addresses import format_address

Direction = Literal["in", "out"]
State = Literal["live", "catching up", "away"]

WINDOWS_S: Final = (10, 60, 300)
RATES_MAX: Final = 1_000
"""Rates of exporters, and of interfaces, in each window of a snapshot."""
KEPT_S: Final = 360
SETTLED_S: Final = 30
"""After so long the ranges of a second become one batch: a repeat of them is still known."""
AHEAD_MS: Final = 60_000
"""A range that was received so long after it was appended comes from a clock that is wrong."""
EXPORTERS_MAX: Final = 10_000
ENTRIES_MAX: Final = 2_000_000
"""About 100 MB. Above it the oldest seconds go, and the windows that would need them."""

_DIRECTIONS: Final[tuple[Direction, ...]] = get_args(Direction)


@dataclass(frozen=True, slots=True)
class LiveRate:
    """What passes one interface of an exporter in one direction, per second.

    interface: ifIndex, 0 where the exporter did not say; None for the whole exporter, whose "in"
    and "out" are equal: each flow came in somewhere and went out somewhere.
    window_s: one of WINDOWS_S, the time that the rate is the mean of.
    bytes, packets: as exported, like the reports' default; scaled: each flow's times its sampling
    rate where one is known. Flows are never scaled.
    """

    exporter: str
    interface: int | None
    direction: Direction
    window_s: int
    bytes_per_s: float
    packets_per_s: float
    flows_per_s: float
    bytes_scaled_per_s: float = 0.0
    packets_scaled_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class LiveSnapshot:
    """The rates at one instant.

    as_of_ms: where the windows end, a whole second, UTC. lag_s: how long ago everything that stood
    in the log was in the windows; None before that was ever so. newest_ms: latest `received_at`
    that is in, None without one. left_out: rates that a limit left out.
    """

    as_of_ms: int
    lag_s: float | None
    state: State
    rates: tuple[LiveRate, ...]
    newest_ms: int | None = None
    left_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RatesRange:
    """One message of `rates` in columns, all of one length.

    first, last: numbers of the stream that it sums up. earliest_ms, latest_ms: `received_at` of
    them; appended_ms: when the broker took it; all UTC. exporters: 16 address bytes each;
    exporter: index in it. direction: 0 in, 1 out. sums: one row for each of `entries.SUMS`.
    """

    stream: int
    first: int
    last: int
    earliest_ms: int
    latest_ms: int
    appended_ms: int
    exporters: Sequence[bytes]
    exporter: npt.NDArray[np.intp]
    interface: npt.NDArray[np.uint32]
    direction: npt.NDArray[np.uint8]
    sums: Numbers


class Taken(StrEnum):
    """What became of a range."""

    SET = "set"
    REPEAT = "repeat"
    """It is in already, or its numbers are."""
    OLD = "old"
    """Received longer ago than anything is kept."""
    AHEAD = "ahead"
    """Received a minute or more after it was appended: its collector's clock is wrong."""


@dataclass(slots=True)
class _Second:
    """All that was received in one second. loose: by range, to be replaced; settled: merged."""

    loose: dict[tuple[int, int], Entries] = field(default_factory=dict)
    settled: Entries = NOTHING
    whole: Entries | None = None

    @property
    def batches(self) -> list[Entries]:
        return [self.settled, *self.loose.values()]

    def __len__(self) -> int:
        return sum(map(len, self.batches))

    def sums(self) -> Entries:
        if self.whole is None:
            self.whole = merge(self.batches)
        return self.whole


@dataclass(frozen=True, slots=True)
class _Range:
    first: int
    last: int
    seconds: tuple[int, ...]


class Windows:
    """The windows of everything that was set; one owner.

    entries: how many are kept now. newest_ms: latest `received_at` set, None without one.
    left_out: entries of exporters beyond `exporters_max`, so far.
    """

    def __init__(
        self,
        *,
        exporters_max: int = EXPORTERS_MAX,
        entries_max: int = ENTRIES_MAX,
        knows_repeats: bool = True,
    ) -> None:
        """knows_repeats: False adds whatever comes; only a negative control wants that."""
        self.entries = 0
        self.left_out = 0
        self.newest_ms: int | None = None
        self._exporters_max = exporters_max
        self._entries_max = entries_max
        self._knows_repeats = knows_repeats
        self._seconds: dict[int, _Second] = {}
        # Ranges of a stream never overlap; ascending.
        self._streams: dict[int, list[_Range]] = {}
        self._exporters: dict[bytes, int] = {}
        self._free: list[int] = []
        self._kept_since_s = 0
        self._evicted_until_s = 0

    def set(self, given: RatesRange) -> Taken:
        """Take in a range; numbers that are in already are not counted again."""
        if given.latest_ms > given.appended_ms + AHEAD_MS:
            return Taken.AHEAD
        if given.latest_ms // 1000 < max(self._kept_since_s, given.appended_ms // 1000 - KEPT_S):
            return Taken.OLD
        overlapping = self._overlapping(given) if self._knows_repeats else []
        if any((old.first, old.last) == (given.first, given.last) for old in overlapping):
            return Taken.REPEAT
        if not all(self._is_loose(given.stream, old) for old in overlapping):
            # Once merged they cannot be taken out, and what is in must not be doubled.
            return Taken.REPEAT
        # Cut differently: whoever sends again goes on to the end, so all of them come anew.
        for old in overlapping:
            self._take_out(given.stream, old)
        self._put_in(given)
        self.newest_ms = max(self.newest_ms or 0, given.latest_ms)
        return Taken.SET

    def forget(self, now_ms: int) -> None:
        """Forget what is older than KEPT_S, and merge what is settled. now_ms: UTC, may fall."""
        now_s = now_ms // 1000
        if now_s - KEPT_S > self._kept_since_s:
            self._drop_before(now_s - KEPT_S)
        for at, second in self._seconds.items():
            if second.loose and at < now_s - SETTLED_S:
                self._settle(second)
        oldest = iter(sorted(self._seconds))
        while self.entries > self._entries_max:
            self._evicted_until_s = next(oldest) + 1
            self._drop_before(self._evicted_until_s)

    def rates(
        self,
        as_of_ms: int,
        *,
        exporter: bytes | None = None,
        interface: int | None = None,
        windows_s: Iterable[int] = WINDOWS_S,
        limit: int | None = None,
    ) -> tuple[tuple[LiveRate, ...], int]:
        """Return the rates of the windows that end at `as_of_ms`, and how many `limit` left out.

        as_of_ms: cut to the whole second; at most a minute before `forget` was called with.
        exporter: 16 address bytes. interface: then exporters' totals are left out. Windows ascend;
        in each come exporters, then interfaces, the most bytes first. limit: how many of each.
        A window of which some seconds had to go for want of room is left out.
        """
        names = {number: name for name, number in self._exporters.items()}
        number = None if exporter is None else self._exporters.get(exporter, -1)
        found: list[LiveRate] = []
        left_out = 0
        from_s, sums = as_of_ms // 1000, NOTHING
        for window_s in sorted(windows_s):
            since_s = as_of_ms // 1000 - window_s
            if since_s < self._evicted_until_s:
                break
            further = [self._seconds[at] for at in range(since_s, from_s) if at in self._seconds]
            sums = merge([sums, *(second.sums() for second in further)])
            from_s = since_s
            chosen = sums if number is None else sums.take(sums.exporters == number)
            if interface is None:
                whole = chosen.by_exporter()
                shown = _largest(whole, limit)
                found += _rates(shown, names, window_s, has_interface=False)
                left_out += len(whole) - len(shown)
            else:
                chosen = chosen.take(chosen.interfaces == interface)
            shown = _largest(chosen, limit)
            found += _rates(shown, names, window_s, has_interface=True)
            left_out += len(chosen) - len(shown)
        return tuple(found), left_out

    def _overlapping(self, given: RatesRange) -> list[_Range]:
        ranges = self._streams.get(given.stream, [])
        start = bisect_left(ranges, given.first, key=lambda each: each.last)
        end = bisect_right(ranges, given.last, key=lambda each: each.first)
        return ranges[start:end]

    def _is_loose(self, stream: int, old: _Range) -> bool:
        return all(
            at in self._seconds and (stream, old.first) in self._seconds[at].loose
            for at in old.seconds
        )

    def _take_out(self, stream: int, old: _Range) -> None:
        for at in old.seconds:
            second = self._seconds[at]
            self.entries -= len(second.loose.pop((stream, old.first)))
            second.whole = None
        self._streams[stream].remove(old)

    def _put_in(self, given: RatesRange) -> None:
        entries = self._entries_of(given)
        place = (given.stream, given.first)
        parts = spread(entries.sums, given.earliest_ms, given.latest_ms)
        for at, sums in parts:
            second = self._seconds.setdefault(at, _Second())
            before = second.loose.get(place, NOTHING)
            second.loose[place] = merge([before, Entries(entries.keys, sums)])
            second.whole = None
            self.entries += len(second.loose[place]) - len(before)
        ranges = self._streams.setdefault(given.stream, [])
        place_in_stream = bisect_left(ranges, given.first, key=lambda each: each.first)
        seconds = tuple(at for at, _ in parts)
        ranges.insert(place_in_stream, _Range(given.first, given.last, seconds))

    def _entries_of(self, given: RatesRange) -> Entries:
        numbers = np.array([self._number(name) for name in given.exporters], np.int64)
        exporters = numbers[given.exporter]
        known = exporters >= 0
        self.left_out += int(np.count_nonzero(~known))
        return entries_of(
            exporters[known], given.interface[known], given.direction[known], given.sums[:, known]
        )

    def _number(self, exporter: bytes) -> int:
        """Return the number that stands for `exporter` in keys, -1 when there is none left."""
        number = self._exporters.get(exporter)
        if number is None:
            if len(self._exporters) >= self._exporters_max:
                return -1
            number = self._free.pop() if self._free else len(self._exporters)
            self._exporters[exporter] = number
        return number

    def _drop_before(self, kept_since_s: int) -> None:
        self._kept_since_s = kept_since_s
        for at in [at for at in self._seconds if at < kept_since_s]:
            self.entries -= len(self._seconds.pop(at))
        for stream, ranges in list(self._streams.items()):
            # Time does not fall within a stream, so the oldest ranges come first.
            del ranges[: bisect_left(ranges, kept_since_s, key=lambda each: each.seconds[-1])]
            if not ranges:
                del self._streams[stream]
        if len(self._exporters) >= self._exporters_max:
            self._drop_exporters()

    def _drop_exporters(self) -> None:
        batches = [batch for second in self._seconds.values() for batch in second.batches]
        used = set().union(*(np.unique(batch.exporters).tolist() for batch in batches))
        for name, number in list(self._exporters.items()):
            if number not in used:
                del self._exporters[name]
                self._free.append(number)

    def _settle(self, second: _Second) -> None:
        before = len(second)
        second.settled = second.sums()
        second.loose.clear()
        self.entries += len(second) - before


def _largest(entries: Entries, limit: int | None) -> Entries:
    """Return the entries with the most bytes, the most first."""
    order = np.argsort(entries.sums[0], kind="stable")[::-1]
    return entries.take(order[:limit])


def _rates(
    entries: Entries, names: Mapping[int, bytes], window_s: int, *, has_interface: bool
) -> list[LiveRate]:
    texts = {number: format_address(names[number]) for number in set(entries.exporters.tolist())}
    rows = zip(
        entries.exporters.tolist(),
        entries.interfaces.tolist(),
        entries.directions.tolist(),
        (entries.sums / window_s).T.tolist(),
        strict=True,
    )
    return [
        LiveRate(
            texts[exporter],
            interface if has_interface else None,
            _DIRECTIONS[direction],
            window_s,
            *per_s,
        )
        for exporter, interface, direction, per_s in rows
    ]

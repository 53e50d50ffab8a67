"""How far a central is behind the log, by partition; pure."""

from collections.abc import Mapping
from typing import Final, NamedTuple

STALE_MS: Final = 15_000
"""The log's ends are looked up every 5 s. Who did not for so long does not know how far it is."""


class Behind(NamedTuple):
    """records: not applied yet, as far as is known. lag_s: at most; None: unknown."""

    records: int
    lag_s: float | None


class Lag:
    """What was seen of each partition. Times are ms, UTC."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._ends: Mapping[int, int] = {}
        self._looked_ms = 0
        self._reached_ms: dict[int, int] = {}

    def looked(self, ends: Mapping[int, int], positions: Mapping[int, int], now_ms: int) -> None:
        """The partitions end there now. positions: what is to be applied next."""
        self._ends, self._looked_ms = dict(ends), now_ms
        self._note_whole(positions)

    def applied(self, partition: int, position: int, appended_ms: int) -> None:
        """All before `position` is applied; Kafka took the last of it at `appended_ms`."""
        self._reach(partition, appended_ms)
        self._note_whole({partition: position})

    def of(self, partition: int, position: int, now_ms: int) -> Behind:
        """Return how far one partition is behind."""
        behind = max(0, self._ends.get(partition, 0) - position)
        unseen_ms = now_ms - self._looked_ms
        if not behind and unseen_ms <= STALE_MS:
            return Behind(0, 0.0)
        reached_ms = self._reached_ms.get(partition)
        return Behind(behind, None if reached_ms is None else max(0, now_ms - reached_ms) / 1000)

    def all(self, positions: Mapping[int, int], now_ms: int) -> Behind | None:
        """Return how far the partition that is worst is behind; None before the first look."""
        if not self._ends or not positions:
            return None
        found = [self.of(number, positions.get(number, 0), now_ms) for number in self._ends]
        lags = [each.lag_s for each in found]
        known = [lag_s for lag_s in lags if lag_s is not None]
        return Behind(
            sum(each.records for each in found), max(known) if len(known) == len(lags) else None
        )

    def _note_whole(self, positions: Mapping[int, int]) -> None:
        """Who has all up to the ends that were looked up is as far as it was at that moment."""
        for number, position in positions.items():
            if number in self._ends and position >= self._ends[number]:
                self._reach(number, self._looked_ms)

    def _reach(self, partition: int, at_ms: int) -> None:
        self._reached_ms[partition] = max(at_ms, self._reached_ms.get(partition, 0))

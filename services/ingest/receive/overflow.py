"""Datagrams that found no room in the spool, counted until they can be marked."""

from collections.abc import Iterable

from shared.addresses import UNSPECIFIED
from shared.losses import Loss, LossReason

_MINUTE_MS = 60_000
# A day without room, and as many exporters as a minute may name; beyond it places get coarser, and
# nothing is left out of the count.
MINUTES_MAX = 1_440
EXPORTERS_MAX = 4_096


class Overflow:
    """Counts by minute and exporter; both bounded, the sum always whole."""

    def __init__(self) -> None:
        """Start with nothing dropped."""
        self._minutes: dict[int, dict[bytes, int]] = {}
        self._latest_ms: dict[int, int] = {}

    @property
    def datagrams(self) -> int:
        """How many are not marked yet."""
        return sum(sum(counts.values()) for counts in self._minutes.values())

    def add(self, exporter: bytes, received_at_ms: int, datagrams: int = 1) -> None:
        """Count some; times do not fall between calls."""
        minute = received_at_ms // _MINUTE_MS
        if minute not in self._minutes:
            if len(self._minutes) >= MINUTES_MAX:
                minute = max(self._minutes)
            else:
                self._minutes[minute] = {}
        counts = self._minutes[minute]
        if exporter not in counts and len(counts) >= EXPORTERS_MAX:
            exporter = UNSPECIFIED
        counts[exporter] = counts.get(exporter, 0) + datagrams
        self._latest_ms[minute] = received_at_ms

    def oldest(self) -> tuple[int, list[Loss]] | None:
        """Return the last time and the losses of the oldest minute; None when all is forgotten."""
        if not self._minutes:
            return None
        minute = min(self._minutes)
        counts = self._minutes[minute]
        losses = [Loss(x, LossReason.RECEIVER_OVERFLOW, n) for x, n in counts.items()]
        return self._latest_ms[minute], losses

    def forget(self, losses: Iterable[Loss]) -> None:
        """Take `losses`, which `oldest` gave, off the oldest minute: they are marked."""
        minute = min(self._minutes)
        for loss in losses:
            del self._minutes[minute][loss.exporter]
        if not self._minutes[minute]:
            del self._minutes[minute], self._latest_ms[minute]

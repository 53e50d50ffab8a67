"""The metrics of the snapshots that are kept for standbys."""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.central.snapshot.kept import Kept

SNAPSHOT_GAUGES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("snapshots", "Snapshots that are kept, by state.", ("state",)),
    ("snapshot_bytes", "Bytes of all snapshots that are kept.", ()),
    ("snapshot_oldest_age_seconds", "Age of the oldest snapshot that is kept; 0 without one.", ()),
)
"""Name, help text and labels of what is asked when Prometheus asks."""


def released_counter(registry: CollectorRegistry, prefix: str) -> Counter:
    """Return the counter of snapshots that went."""
    return Counter(
        f"{prefix}_snapshots_released",
        "Snapshots that were removed, by why: asked, replaced, a day, disk.",
        ["why"],
        registry=registry,
    )


class SnapshotCollector(Collector):
    """How many snapshots hold how much disk, and for how long."""

    def __init__(
        self, prefix: str, kept: Callable[[], Sequence[Kept]], now_ms: Callable[[], int]
    ) -> None:
        """kept: all there are, the oldest first; any thread. now_ms: UTC."""
        self._prefix = prefix
        self._kept = kept
        self._now_ms = now_ms

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        kept = self._kept()
        states = [each.state.value for each in kept]
        oldest_s = max(0, self._now_ms() - kept[0].made_at_ms) / 1000 if kept else 0.0
        counts, held, oldest = (
            GaugeMetricFamily(f"{self._prefix}_{name}", text, labels=labels)
            for name, text, labels in SNAPSHOT_GAUGES
        )
        for state in sorted(set(states)):
            counts.add_metric([state], states.count(state))
        held.add_metric([], sum(each.total_bytes for each in kept))
        oldest.add_metric([], oldest_s)
        yield from (counts, held, oldest)

"""Every metric of the central."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.central.brokers.metrics import BROKER_GAUGES
from services.central.collectors.metrics import CollectorsMetrics
from services.central.live.metrics import LiveMetrics
from services.central.login.metrics import LoginMetrics
from services.central.progress import Progress
from services.central.proof.metrics import ProofMetrics
from services.central.roles.metrics import RolesMetrics
from services.central.snapshot.metrics import SNAPSHOT_GAUGES, released_counter
from shared.http_metrics import http_histogram

PREFIX = "steadflow_central"
NEWEST = (
    "newest_record_timestamp_seconds",
    "When the newest applied record of a worker was received, Unix time.",
    ("worker",),
)
CENTRAL_GAUGES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    NEWEST, *SNAPSHOT_GAUGES, *BROKER_GAUGES,
)  # fmt: skip
"""Name, help text and labels of what is asked when Prometheus asks."""
WORKERS_MAX = 1_000
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class CentralMetrics:
    """The metrics of one central, on a registry of their own."""

    def __init__(self) -> None:
        """Declare them all."""
        self.registry = CollectorRegistry()
        prefix = PREFIX
        self.rows = Counter(
            f"{prefix}_flow_rows", "Flow records inserted into the store.", registry=self.registry
        )
        self.messages = Counter(
            f"{prefix}_messages",
            "Messages of flows read, by verdict.",
            ["verdict"],
            registry=self.registry,
        )
        self.trimmed_rows = Counter(
            f"{prefix}_trimmed_rows",
            "Rows left out because the store has their number already.",
            registry=self.registry,
        )
        self.gap_datagrams = Counter(
            f"{prefix}_gap_datagrams",
            "Numbers of a stream that are missing in the log.",
            registry=self.registry,
        )
        self.alarms = Counter(
            f"{prefix}_alarms", "Alarms by kind.", ["kind"], registry=self.registry
        )
        self.lost_datagrams = Counter(
            f"{prefix}_lost_datagrams",
            "Datagrams noted as lost, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.lost_flows = Counter(
            f"{prefix}_lost_flows",
            "Flow records noted as lost, by reason, where their number is known.",
            ["reason"],
            registry=self.registry,
        )
        self.store_errors = Counter(
            f"{prefix}_store_errors",
            "Failed statements that are tried again, by step.",
            ["step"],
            registry=self.registry,
        )
        self.closings = Counter(
            f"{prefix}_closings",
            "Minutes and hours of streams closed.",
            ["level"],
            registry=self.registry,
        )
        self.sightings_left_out = Counter(
            f"{prefix}_sightings_left_out",
            "Sightings of exporters and interfaces not noted, as there are too many already.",
            ["kind"],
            registry=self.registry,
        )
        self.kafka_away = Counter(
            f"{prefix}_kafka_away",
            "Times that reading stopped because Kafka was away.",
            registry=self.registry,
        )
        self.settings_refused = Counter(
            f"{prefix}_settings_refused",
            "Records on settings that this release cannot read.",
            registry=self.registry,
        )
        self.inserts_s = Histogram(
            f"{prefix}_insert_seconds",
            "Time of one insert.",
            ["table"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.closings_s = Histogram(
            f"{prefix}_closing_seconds",
            "Time to close one minute or hour of a stream.",
            ["level"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.lag_records = Gauge(
            f"{prefix}_lag_records",
            "Records of a partition not applied yet.",
            ["partition"],
            registry=self.registry,
        )
        self.lag_s = Gauge(
            f"{prefix}_lag_seconds",
            "How far behind at most; 0 at the log's end as it was in the last 15 s; NaN: unknown.",
            ["partition"],
            registry=self.registry,
        )
        self.next_offset = Gauge(
            f"{prefix}_next_offset",
            "Next offset to apply.",
            ["partition"],
            registry=self.registry,
        )
        self.listed_streams = Gauge(
            f"{prefix}_open_streams",
            "Streams with minutes or hours that are not closed.",
            registry=self.registry,
        )
        self.http = http_histogram(prefix, self.registry)
        self.live = LiveMetrics(self.registry, prefix)
        self.login = LoginMetrics(prefix, self.registry)
        self.collectors = CollectorsMetrics(self.registry, prefix)
        self.roles = RolesMetrics(prefix, self.registry)
        self.proof = ProofMetrics(self.registry, prefix)
        self.snapshots_released = released_counter(self.registry, prefix)


class FreshnessCollector(Collector):
    """How new the store is, for each worker of a collector whose stream has not ended."""

    def __init__(
        self, streams: Callable[[], Iterable[Progress]], *, workers_max: int = WORKERS_MAX
    ) -> None:
        """streams: every stream, any thread. workers_max: those with the newest records win."""
        self._streams = streams
        self._workers_max = workers_max

    def collect(self) -> Iterator[Metric]:
        """Yield the gauge; a quiet worker is as new as its last clock mark."""
        newest: dict[str, int] = {}
        for stream in self._streams():
            if stream.newest_ms and not stream.ended:
                newest[stream.worker] = max(newest.get(stream.worker, 0), stream.newest_ms)
        name, text, labels = NEWEST
        gauge = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
        shown = sorted(newest.items(), key=lambda item: -item[1])[: self._workers_max]
        for worker, newest_ms in shown:
            gauge.add_metric([worker], newest_ms / 1000)
        yield gauge

"""The metrics of the disks with Kafka's log, as the brokers tell of them."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.membership import Disk

BROKER_GAUGES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("broker_disk_free_bytes", "Free space on the disk with Kafka's log.", ("machine",)),
    ("broker_disk_size_bytes", "Size of the disk with Kafka's log.", ("machine",)),
    ("broker_log_bytes", "Bytes of all copies that a broker holds.", ("machine",)),
)
"""Name, help text and labels of what is asked when Prometheus asks."""


class BrokerDisks(Collector):
    """The disks of Kafka's machines where steadflow runs it; none of those that are away."""

    def __init__(self, prefix: str, disks: Callable[[], Mapping[str, Disk]]) -> None:
        """disks: by machine; any thread."""
        self._prefix = prefix
        self._disks = disks

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        free, size, held = (
            GaugeMetricFamily(f"{self._prefix}_{name}", text, labels=labels)
            for name, text, labels in BROKER_GAUGES
        )
        for machine, disk in self._disks().items():
            free.add_metric([machine], disk.usable_bytes)
            size.add_metric([machine], disk.total_bytes)
            held.add_metric([machine], disk.log_bytes)
        yield from (free, size, held)

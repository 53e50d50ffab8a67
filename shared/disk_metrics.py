"""How full the disks under a service's folders are, asked when Prometheus asks."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

FREE = ("disk_free_bytes", "Free space on the disk under a folder.", ("folder",))
SIZE = ("disk_size_bytes", "Size of the disk under a folder.", ("folder",))
DISK_GAUGES: tuple[tuple[str, str, tuple[str, ...]], ...] = (FREE, SIZE)
"""Name, help text and labels."""


class DiskCollector(Collector):
    """The disks under named folders; a folder that is not there has no sample."""

    def __init__(self, prefix: str, folders: Mapping[str, Path]) -> None:
        """prefix: of the metrics' names. folders: by the name that the label shows."""
        self._prefix = prefix
        self._folders = folders

    def collect(self) -> Iterator[Metric]:
        """Yield free space, as this user may take it, and size."""
        free, size = (
            GaugeMetricFamily(f"{self._prefix}_{name}", text, labels=labels)
            for name, text, labels in DISK_GAUGES
        )
        for name, folder in self._folders.items():
            try:
                disk = os.statvfs(folder)
            except OSError:
                continue
            free.add_metric([name], disk.f_bavail * disk.f_frsize)
            size.add_metric([name], disk.f_blocks * disk.f_frsize)
        yield free
        yield size

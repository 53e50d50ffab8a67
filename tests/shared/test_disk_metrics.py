import os
from pathlib import Path

from prometheus_client import CollectorRegistry

from shared.disk_metrics import DiskCollector


def test_a_folder_shows_its_disk_and_a_missing_one_nothing(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    folders = {"spool": tmp_path, "gone": tmp_path / "gone"}
    registry.register(DiskCollector("test", folders))

    size = registry.get_sample_value("test_disk_size_bytes", {"folder": "spool"})
    free = registry.get_sample_value("test_disk_free_bytes", {"folder": "spool"})

    disk = os.statvfs(tmp_path)
    assert size == disk.f_blocks * disk.f_frsize
    assert free is not None
    assert 0 < free <= size
    assert registry.get_sample_value("test_disk_free_bytes", {"folder": "gone"}) is None

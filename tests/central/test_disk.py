"""A full disk: chDB ignores failed writes, the store does not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.central.store import FlowStore, StoreAway, StoreError
from services.central.store.disk import is_whole
from tests.central import insert_on_a_full_disk
from tests.central.flow_values import HOUR, ask, flow_value, insert

ROOT = Path(__file__).parents[2]


def write_on_a_full_disk(place: Path, kind: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, insert_on_a_full_disk.__file__, str(place), kind],
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.splitlines()


def test_a_truncated_part_is_dropped_and_written_again(tmp_path: Path) -> None:
    lines = write_on_a_full_disk(tmp_path / "store", "measured")
    assert lines == ["away", "[(5000, 1)]"]


def test_unmeasured_the_engine_keeps_a_truncated_part_in_silence(tmp_path: Path) -> None:
    lines = write_on_a_full_disk(tmp_path / "store", "unmeasured")
    assert lines == ["accepted", "unreadable"]


def test_a_merge_that_was_truncated_stops_and_is_undone_by_the_next_start(tmp_path: Path) -> None:
    place = str(tmp_path / "store")
    store = FlowStore.open(place)
    store.migrate()
    insert(store, flow_value(), flow_value(first=21))
    store._work.command("OPTIMIZE TABLE flows FINAL")
    parts = ask(store, "SELECT path FROM system.parts WHERE active AND table = 'flows'")
    assert len(parts) == 1
    os.truncate(Path(str(parts[0][0])) / "data.bin", 100)

    with pytest.raises(StoreError, match="a merge was truncated"):
        insert(store, flow_value(first=41))
    store.close()

    again = FlowStore.open(place)
    assert again.flow_maxima() == {1: 60}
    assert ask(again, "SELECT count(), sum(cityHash64(*)) > 0 FROM flows") == [(600, 1)]
    again.close()


def test_nothing_is_written_when_too_little_is_free(tmp_path: Path) -> None:
    store = FlowStore.open(str(tmp_path / "store"), free_bytes=2**62)
    store.migrate()
    with pytest.raises(StoreAway, match="must stay free"):
        insert(store, flow_value())
    with pytest.raises(StoreAway, match="must stay free"):
        store._periods._measured("rollups").__enter__()
    assert store.flow_maxima() == {}
    store.close()


def test_every_part_is_measured_by_the_sum_it_keeps(tmp_path: Path) -> None:
    store = FlowStore.open(str(tmp_path / "store"))
    store.migrate()
    insert(store, flow_value(), flow_value(first=21))
    store.close_minute(1, HOUR)
    store._work.command("OPTIMIZE TABLE flows FINAL")

    parts = ask(store, "SELECT path, bytes_on_disk FROM system.parts WHERE active AND rows > 0")

    assert len(parts) >= 2
    for path, size_bytes in parts:
        part, expected = Path(str(path)), int(str(size_bytes))
        assert is_whole(part, expected)
        assert not is_whole(part, expected + 1)
    store.close()

"""What a process tells of itself, also when the disk it tells it on is full."""

import errno
from pathlib import Path

import pytest

from services.ingest.publish.standing import left_behind
from services.ingest.status import ProcessStatus, read_status, write_status
from tests.ingest.spools import Spool, datagrams


def test_what_was_told_last_is_read(tmp_path: Path) -> None:
    assert read_status(tmp_path, "receiver") is None
    for number in range(3):
        told = ProcessStatus(7, {}, {"number": number})
        write_status(tmp_path, "receiver", told)
        assert read_status(tmp_path, "receiver") == told
    assert read_status(tmp_path, "decoder") is None


def test_on_a_full_disk_it_is_told_in_the_file_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_status(tmp_path, "receiver", ProcessStatus(7, {}, {"number": 1}))
    size = (tmp_path / "receiver.json").stat().st_size

    def no_room(_path: Path, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(Path, "write_bytes", no_room)
    for full in (
        ProcessStatus(7, {"spool": "no room on the disk" * 20}, {"number": 2}),
        ProcessStatus(7, {"spool": "no room"}, {}),
    ):
        write_status(tmp_path, "receiver", full)
        assert read_status(tmp_path, "receiver") == full
        assert (tmp_path / "receiver.json").stat().st_size == size


def test_a_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_status(tmp_path / "gone", "receiver", ProcessStatus(7))


def test_spools_that_no_worker_publishes_any_more_are_named(tmp_path: Path) -> None:
    for worker in range(3):
        spool = Spool(tmp_path / str(worker))
        spool.open(7 + worker)
        spool.write(datagrams(5))
        spool.close()
    (tmp_path / "roles").mkdir()

    assert left_behind(tmp_path, 3) == ""
    why = left_behind(tmp_path, 2)
    assert f"{tmp_path / '2'} " in why
    assert f"{tmp_path / '1'} " not in why
    assert "start it with as many as before" in why

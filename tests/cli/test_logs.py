"""What processes print to stays bounded, and whoever prints goes on."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli import logs
from cli.logs import cut, earlier
from cli.supervise import ChildPlan, Supervisor

DEADLINE_S = 30.0
PRINTS = """
import pathlib, sys, time
done, go = map(pathlib.Path, sys.argv[1:])
for number in range(1000):
    print("before", number, flush=True)
done.touch()
while not go.exists():
    time.sleep(0.01)
print("after", flush=True)
time.sleep(600)
"""


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.01)


def test_the_newest_part_is_kept_once(tmp_path: Path) -> None:
    log = tmp_path / "broker.log"
    for text in (b"0123456789", b"abcdefghij"):
        log.write_bytes(text)
        assert cut(log, bytes_max=4)
        assert log.read_bytes() == b""
        assert earlier(log) == tmp_path / "broker.log.1"
        assert earlier(log).read_bytes() == text[-4:]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["broker.log", "broker.log.1"]


def test_what_is_small_or_not_there_is_left(tmp_path: Path) -> None:
    log = tmp_path / "broker.log"
    assert not cut(log, bytes_max=4)
    log.write_bytes(b"0123")
    assert not cut(log, bytes_max=4)
    assert [file.name for file in tmp_path.iterdir()] == ["broker.log"]


@pytest.mark.parametrize(("mode", "is_whole"), [("ab", True), ("wb", False)])
def test_only_who_appends_goes_on_at_the_new_beginning(
    tmp_path: Path, mode: str, is_whole: bool
) -> None:
    log = tmp_path / "broker.log"
    with log.open(mode, buffering=0) as file:
        file.write(b"0123456789")
        assert cut(log, bytes_max=4)
        file.write(b"next")
    assert (log.read_bytes() == b"next") is is_whole


def test_where_the_newest_part_cannot_be_kept_nothing_is_lost(tmp_path: Path) -> None:
    log = tmp_path / "broker.log"
    log.write_bytes(b"0123456789")
    (tmp_path / "broker.log.1.new").mkdir()
    with pytest.raises(OSError, match=r"broker\.log\.1\.new"):
        cut(log, bytes_max=4)
    assert log.read_bytes() == b"0123456789"


async def test_a_running_childs_log_is_cut_and_what_it_prints_then_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LOG_BYTES_MAX", 1000)
    monkeypatch.setattr(logs, "LOOK_S", 0.01)

    async def ready() -> bool:
        return True

    done, go = tmp_path / "done", tmp_path / "go"
    log, own = tmp_path / "child.log", tmp_path / "up.log"
    own.write_bytes(b"x" * 2000)
    command = [sys.executable, "-c", PRINTS, str(done), str(go)]
    children = Supervisor(changed=lambda: None, say=lambda text: None, own_log=own)
    await children.start(ChildPlan("child", command, log, ready, environment={}))
    pid = children.pid("child")

    await until(lambda: done.exists() and log.stat().st_size <= 1000)
    assert b"before 9" in earlier(log).read_bytes()
    go.touch()
    await until(lambda: log.read_bytes().endswith(b"after\n"))

    assert b"\0" not in log.read_bytes()
    assert log.stat().st_size <= 1000
    assert children.pid("child") == pid
    await until(lambda: own.stat().st_size == 0)
    assert earlier(own).stat().st_size == 1000
    await children.stop()

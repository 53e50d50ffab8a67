import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from cli import running


def test_one_launcher_at_a_time(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert not running.is_held(home)
    with running.hold(home):
        assert running.is_held(home)
        with (
            pytest.raises(running.HomeError, match="already"),
            running.hold(home),
        ):
            pass
    assert not running.is_held(home)


def test_a_home_is_for_its_owner_only(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running.hold(home):
        assert home.stat().st_mode & 0o077 == 0
    home.chmod(0o777)
    with pytest.raises(running.HomeError, match="chmod go-w"), running.hold(home):
        pass


@pytest.mark.parametrize("below", ["file", "file/home"])
def test_a_home_that_cannot_be_a_folder_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(running.HomeError), running.hold(tmp_path / below):
        pass


def test_a_home_where_nothing_can_be_made_is_refused() -> None:
    with pytest.raises(running.HomeError, match="cannot be"), running.hold(Path("/proc/steadflow")):
        pass


def test_what_a_dead_launcher_ran_is_ended_and_its_note_is_gone(tmp_path: Path) -> None:
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    unrelated = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    not_it = {"pid": unrelated.pid, "started_at": 1.0}
    facts = {"broker": running.identity(left.pid), "centrals": [not_it], "ready": True}
    running.write(tmp_path, facts)
    assert running.read(tmp_path) == json.loads(json.dumps(facts))

    with running.hold(tmp_path, gone_timeout_s=0.1):
        assert running.read(tmp_path) is None
        assert not psutil.pid_exists(left.pid)

    left.wait(10)
    assert unrelated.poll() is None
    unrelated.kill()
    unrelated.wait()


def test_nothing_that_was_never_noted_is_ended() -> None:
    running.end_leftovers(None)
    running.end_leftovers({"pid": os.getpid(), "started_at": psutil.Process().create_time()})
    running.end_leftovers({"centrals": [{"pid": None, "started_at": None}], "traffic": "?"})

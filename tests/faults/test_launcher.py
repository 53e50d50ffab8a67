"""The launcher under `kill -9`: of a child, which comes back, and of itself: nothing is left."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from cli import running
from cli.status import gather

pytestmark = [pytest.mark.faults, pytest.mark.kafka, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
DEADLINE_S = 180.0


def steadflow(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def up(home: Path) -> None:
    done = steadflow(
        "up", "--home", str(home), "--detach", "--no-browser",
        "--udp-port", "0", "--kafka-port", "0", "--web-port", "0",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def status(home: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(steadflow("status", "--home", str(home), "--json").stdout)
    return facts


def until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.1)


def family(home: Path) -> list[psutil.Process]:
    """Return the launcher and everything below it."""
    noted = running.read(home)
    assert noted is not None
    launcher = psutil.Process(int(noted["pid"]))
    return [launcher, *launcher.children(recursive=True)]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "home"
    yield folder
    steadflow("down", "--home", str(folder))


def test_a_killed_child_comes_back_and_a_killed_launcher_leaves_nothing(home: Path) -> None:
    up(home)
    before = status(home)
    roles = [process["role"] for process in before["collectors"][0]["processes"]]
    assert sorted(roles) == ["decoder", "holder", "receiver"]
    assert [central["name"] for central in before["centrals"]] == ["central-a", "central-b"]

    os.kill(before["centrals"][0]["pid"], signal.SIGKILL)
    os.kill(before["collectors"][0]["pids"][0], signal.SIGKILL)

    def all_are_back() -> bool:
        now = gather(home)
        return (
            now["centrals"][0]["pid"] not in (None, before["centrals"][0]["pid"])
            and now["collectors"][0]["pids"][:1] != before["collectors"][0]["pids"][:1]
            and now["centrals"][0]["ready"]
            and now["collectors"][0]["ready"]
        )

    until(all_are_back, "the killed central and collector are ready again")
    processes = family(home)
    assert len(processes) >= 8

    processes[0].kill()
    _, alive = psutil.wait_procs(processes, timeout=DEADLINE_S / 6)
    assert alive == []
    assert steadflow("status", "--home", str(home)).returncode == 3

    up(home)
    again = status(home)
    assert again["ready"]
    processes = family(home)
    assert steadflow("down", "--home", str(home)).returncode == 0
    _, alive = psutil.wait_procs(processes, timeout=DEADLINE_S / 6)
    assert alive == []

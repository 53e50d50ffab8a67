"""The launcher under `kill -9`: of a child, which comes back, and of itself: nothing is left."""

import psutil
import pytest

from cli import running
from cli.status import gather
from tests.faults.system import System, kill
from tests.waiting import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.kafka, pytest.mark.slow]

DEADLINE_S = 180


def family(system: System) -> list[psutil.Process]:
    """Return the launcher and everything below it."""
    noted = running.read(system.home)
    assert noted is not None
    launcher = psutil.Process(int(noted["pid"]))
    return [launcher, *launcher.children(recursive=True)]


def test_a_killed_child_comes_back_and_a_killed_launcher_leaves_nothing(system: System) -> None:
    before = system.status()
    roles = [process["role"] for process in before["collectors"][0]["processes"]]
    assert sorted(roles) == ["decoder", "holder", "receiver"]
    assert [central["name"] for central in before["centrals"]] == ["central-a", "central-b"]

    assert kill(before["centrals"][0]["pid"])
    assert kill(before["collectors"][0]["pids"][0])

    def all_are_back() -> bool:
        now = gather(system.home)
        return (
            now["centrals"][0]["pid"] not in (None, before["centrals"][0]["pid"])
            and now["collectors"][0]["pids"][:1] != before["collectors"][0]["pids"][:1]
            and now["centrals"][0]["ready"]
            and now["collectors"][0]["ready"]
        )

    wait_until(all_are_back, "the killed central and collector are ready again", DEADLINE_S)
    processes = family(system)
    assert len(processes) >= 8

    processes[0].kill()
    _, alive = psutil.wait_procs(processes, timeout=DEADLINE_S / 6)
    assert alive == []
    assert system.run("status", "--home", str(system.home), check=False).returncode == 3

    system.up()
    assert system.status()["ready"]
    processes = family(system)
    assert system.run("down", "--home", str(system.home), check=False).returncode == 0
    _, alive = psutil.wait_procs(processes, timeout=DEADLINE_S / 6)
    assert alive == []

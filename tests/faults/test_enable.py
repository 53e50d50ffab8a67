"""A running system is opened to other machines: one clean restart of its broker, nothing else."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.ports import free_port
from tests.faults.opened import check_opened, enable
from tests.faults.system import System, running, traffic
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow]

CENTRALS = ("central-a", "central-b")
SUMS = ("flows", "bytes", "packets")
DEADLINE_S = 240


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with running(tmp_path / "home") as system:
        yield system


def totals(system: System, central: str) -> dict[str, int]:
    answer = system.ask(central, "/api/v1/totals") or {}
    return {name: answer.get(name, 0) for name in SUMS}


def roles(system: System) -> dict[str, Any]:
    """Return who is primary and since when, and whether anybody may be replaced."""
    said = json.loads(system.run("cluster", "--home", str(system.home), "--json").stdout)
    done = json.loads(system.run("history", "--home", str(system.home), "--json").stdout)
    moves = [each["offset"] for each in done["entries"] if each["is"] in ("claim", "handover")]
    return {
        "epoch": said["epoch"], "primary": said["primary"], "paused": said["paused"], "moves": moves
    }  # fmt: skip


def test_enabled_under_load_only_the_broker_is_restarted_and_roles_stay(system: System) -> None:
    wait_until(lambda: system.status()["primary"] is not None, "a primary", DEADLINE_S)
    https_port, kafka_port = free_port(row=2), free_port(row=2)
    pids = system.processes()
    assert (system.home / "tls" / "ca.key").stat().st_mode & 0o777 == 0o600

    with traffic(system, "--rate", "2000", "--duration", "0") as sending:
        wait_until(lambda: totals(system, "central-b")["flows"] > 5_000, "flows", DEADLINE_S)
        # At a load where a primary falls silent by itself, only this moment's roles count.
        before, started_s = roles(system), time.monotonic()
        said = enable(system, https_port, kafka_port)
        print(f"enabled in {time.monotonic() - started_s:.1f} s\n{said}")
        assert roles(system) == before
        assert f"https://localhost:{https_port}" in said
        check_opened(system, https_port, kafka_port)
        sending.terminate()
        sent = json.loads(sending.communicate(timeout=DEADLINE_S)[0])

    wait_until(
        lambda: all(totals(system, each)["flows"] >= sent["flows"] for each in CENTRALS),
        "all flows in both centrals", DEADLINE_S,
    )  # fmt: skip
    assert totals(system, "central-a") == totals(system, "central-b")
    assert totals(system, "central-a")["flows"] == sent["flows"]
    after = system.processes()
    assert after.pop("broker") != pids.pop("broker")
    assert after == pids

"""`steadflow drill`: what it refuses before anything is touched, and what it says at the end."""

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli import running
from cli.__main__ import app
from cli.drill import told
from shared.drill import Drill, Kind, Look, ended
from tests.cli.fake_node import FakeNode

ROW = {
    "id": "00c0ffee00c0ffee", "kind": "switchover", "verdict": "passed", "started_ms": 1,
    "rto_s": 0.2, "records_lost": 0,
}  # fmt: skip


@pytest.fixture
def central() -> Iterator[FakeNode]:
    server = FakeNode()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def asked(central: FakeNode, home: Path, *options: str) -> Result:
    with running.hold(home):
        # This process lives, but it did not start when the launcher noted it: it is another one.
        noted = {"name": "central-a", "url": central.url, "pid": os.getppid(), "started_at": 0.0}
        running.write(home, {"centrals": [noted]})
        return CliRunner().invoke(app, ["drill", "--home", str(home), *options])


def view(**changed: Any) -> dict[str, Any]:  # JSON
    standby = {"name": "central-b", "role": "standby", "url": "http://b", "problem": ""}
    return {"primary": "central-a", "paused": False, "nodes": [standby]} | changed


def test_where_nothing_runs_it_says_so(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["drill", "--home", str(tmp_path)])

    assert (result.exit_code, "nothing runs" in result.output) == (3, True)


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        (view(nodes=[]), "nobody could take over"),
        (view(paused=True), "paused"),
        (view(primary="central-b"), "central-b does not run on this machine"),
        (view(), "central-a does not run on this machine"),
    ],
)
def test_nothing_is_killed_that_may_not_be(
    central: FakeNode, tmp_path: Path, cluster: dict[str, Any], said: str
) -> None:
    central.answers["GET /api/v1/cluster"] = (200, cluster)

    result = asked(central, tmp_path, "--kill", "--yes")

    assert (result.exit_code, said in result.output) == (1, True), result.output
    assert [each for each, *_ in central.asked] == ["GET /api/v1/cluster"]


def test_the_reports_are_listed(central: FakeNode, tmp_path: Path) -> None:
    central.answers["GET /api/v1/drills"] = (200, {"rows": [ROW]})

    result = asked(central, tmp_path, "--list", "--json")

    assert (result.exit_code, '"records_lost": 0' in result.output) == (0, True), result.output


def test_the_end_is_said_in_a_line() -> None:
    begun = Drill("00c0ffee00c0ffee", Kind.KILL, "command line", 0)
    look = Look(1, 9, "central-b", takeover_s=0.7)
    sums = {"flows": 10, "bytes": 1, "packets": 1}
    drill = replace(ended(begun, 5), after=look, counted={"a": sums, "b": {**sums, "flows": 8}})

    assert told(ended(begun, 5, "nobody answers")) == [
        "nobody answers",
        "FAILED: drill 00c0ffee00c0ffee",
    ]
    (line,) = told(drill)
    assert line == (
        "FAILED: central-b took over; nobody acted for 0.70 s, longer than the 0.5 s of 99 in 100; "
        "2 records lost; drill 00c0ffee00c0ffee"
    )

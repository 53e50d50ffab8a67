"""`steadflow standby check`, and the agent: under which name and ports a machine is tried."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import check
from cli.__main__ import app
from cli.joined_broker import KAFKA_PORT
from cli.standby_children import StandbyPlan, agent_child
from cli.standby_home import StandbyHome, write_standby

PRIMARY = "https://a.example"


def settings_of(monkeypatch: pytest.MonkeyPatch, home: Path, *words: str) -> dict[str, Any]:
    """Return with which settings the checks would be made."""
    found: dict[str, Any] = {}

    def look(settings: dict[str, object], _secret: str) -> dict[str, Any]:
        found.update(settings)
        return {"lines": []}

    monkeypatch.setattr(check, "_look", look)
    done = CliRunner().invoke(app, ["standby", "check", *words, "--home", str(home)])
    assert done.exit_code == 0, done.output
    return found


def test_before_a_join_it_is_tried_as_it_would_join(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = (PRIMARY, "--token", "sf1.x")
    monkeypatch.setattr("socket.getfqdn", lambda: "b.example")
    found = settings_of(monkeypatch, tmp_path, *words)
    assert (found["hosts"], found["kafka_port"]) == ("b.example", KAFKA_PORT)

    told = settings_of(monkeypatch, tmp_path, *words, "--host", "c.example", "--kafka-port", "7000")
    assert (told["hosts"], told["kafka_port"]) == ("c.example", 7000)


@pytest.mark.parametrize("kafka_port", [0, 29_094])
def test_after_a_join_it_is_tried_as_it_joined(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kafka_port: int
) -> None:
    (tmp_path / "given.json").write_text("{}")
    home = StandbyHome("central-c", PRIMARY, ("c.example",), 8443, kafka_port=kafka_port)
    write_standby(tmp_path, home)

    found = settings_of(monkeypatch, tmp_path)
    assert found["hosts"].split(",")[0] == "c.example"
    assert found["kafka_port"] == kafka_port


def test_the_agent_is_told_the_brokers_port(tmp_path: Path) -> None:
    plan = StandbyPlan(
        home=tmp_path, name="central-c", primary=PRIMARY, hosts=("c.example", "192.0.2.7"),
        https_port=8443, web_port=8480, copy_bytes_per_s=0, is_forced=False, kafka_port=29_094,
    )  # fmt: skip
    environment = agent_child(plan).environment

    assert environment["STEADFLOW_STANDBY_KAFKA_PORT"] == "29094"
    assert environment["STEADFLOW_STANDBY_HOSTS"].split(",")[0] == "c.example"

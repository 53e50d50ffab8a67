"""The registry as a process, and its pages while no broker answers."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from cli.ports import free_port
from services.registry.app import check
from services.registry.config import RegistryConfig
from services.registry.metrics import RegistryMetrics
from shared.config import ConfigError
from shared.http import listen
from tests.waiting import wait_until

STOP_S = 30
COMMAND = [sys.executable, "-m", "services.registry"]


def test_without_a_broker_it_lives_is_not_ready_and_ends_when_told() -> None:
    port, nowhere = free_port(), free_port()
    environment = {
        **os.environ,
        "STEADFLOW_REGISTRY_HTTP_PORT": str(port),
        "STEADFLOW_REGISTRY_BOOTSTRAP_SERVERS": f"127.0.0.1:{nowhere}",
    }
    process = subprocess.Popen(COMMAND, env=environment, cwd=Path(__file__).parents[2])
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:

            def answers() -> bool:
                try:
                    return "Kafka is away" in client.get("/health/ready").text
                except httpx.TransportError:
                    return False

            wait_until(answers, "the registry says that Kafka is away")
            assert client.get("/health/ready").status_code == 503
            assert client.get("/health/live").status_code == 200
            assert client.get("/primary").status_code == 503
            assert client.get("/api/v1/cluster").json()["standing"] == "no configuration yet"
            assert client.post("/pause").status_code == 403
            metrics = client.get("/metrics").text
            assert 'steadflow_registry_standing{standing="unconfigured"} 1.0' in metrics
            assert 'steadflow_registry_alarm{kind="no_primary"} 1.0' in metrics
            assert 'route="/primary"' in metrics
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_S) == 0
    finally:
        process.kill()
        process.wait()


def test_what_cannot_work_is_refused_before_it_starts(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("open to all")
    token.chmod(0o644)
    with pytest.raises(ConfigError, match="token_file"):
        check(RegistryConfig(token_file=token, http_port=0))
    with listen("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match="http_port"):
            check(RegistryConfig(http_port=port))
    check(RegistryConfig(http_port=0))


def test_every_metric_has_the_prefix() -> None:
    for family in RegistryMetrics().registry.collect():
        assert family.name.startswith("steadflow_registry_")

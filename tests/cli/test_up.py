"""What `steadflow up` says when it cannot start: one sentence, no traceback, nothing left."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import running
from cli.ports import free_port
from cli.system import holds_settings

ROOT = Path(__file__).parents[2]
DEADLINE_S = 120.0


def steadflow(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last line a failed command said; there is nothing like a traceback."""
    assert done.returncode not in (0, 2), done
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    return lines[-1]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        port = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", port))
        yield port


@pytest.mark.parametrize("option", ["--udp-port", "--web-port", "--kafka-port"])
def test_a_taken_port_is_named_with_its_option(home: Path, taken_port: int, option: str) -> None:
    ports = {"--udp-port": "0", "--web-port": "0", "--kafka-port": "0", option: str(taken_port)}
    done = steadflow("up", "--home", str(home), *(word for pair in ports.items() for word in pair))
    said = sentence(done)
    assert f"port {taken_port} of 127.0.0.1 is taken" in said
    assert option in said
    assert not running.is_held(home)


@pytest.mark.parametrize("host", ["203.0.113.7", "no.such.host.invalid"])
def test_an_address_of_another_machine_is_not_called_taken(home: Path, host: str) -> None:
    done = steadflow("up", "--home", str(home), "--udp-host", host, "--web-port", "0")
    assert sentence(done).startswith(f"nothing can listen on {host}, UDP port 2055")


def test_a_broker_that_does_not_answer_is_named(home: Path) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    done = steadflow(
        "up", "--home", str(home), "--udp-port", "0", "--web-port", "0",
        "--bootstrap-servers", nowhere,
    )  # fmt: skip
    assert sentence(done).startswith(f"Kafka at {nowhere} does not answer")
    assert not (home / "kafka").exists()


@pytest.mark.parametrize("setting", ["STEADFLOW_INGEST_NAEM", "STEADFLOW_CENTRAL_RAW_DAY"])
def test_an_unknown_setting_is_named_before_anything_starts(home: Path, setting: str) -> None:
    free = [word for of in ("udp", "kafka", "web") for word in (f"--{of}-port", "0")]
    done = steadflow("up", "--home", str(home), *free, **{setting: "7"})
    assert f"unknown setting {setting} in the environment" in sentence(done)
    assert not (home / "kafka").exists()


def test_only_settings_of_a_service_are_looked_at() -> None:
    assert holds_settings(["PATH", "steadflow_central_raw_day"])
    assert not holds_settings(["PATH", "STEADFLOW_HOME", "STEADFLOW_SHARED"])


@pytest.mark.parametrize("detach", [[], ["--detach"]])
def test_a_home_that_cannot_be_used_is_named(tmp_path: Path, detach: list[str]) -> None:
    file = tmp_path / "file"
    file.touch()
    for home in (file, file / "below", Path("/proc/steadflow")):
        assert f"--home {home}" in sentence(steadflow("up", "--home", str(home), *detach))


def test_a_home_that_others_can_write_is_refused(home: Path) -> None:
    home.mkdir()
    home.chmod(0o777)
    assert "chmod go-w" in sentence(steadflow("up", "--home", str(home)))


def test_no_second_log_begins_where_others_hold_the_first(home: Path) -> None:
    home.mkdir(mode=0o700)
    (home / "brokers").write_text("127.0.0.1:19096,other.example:19094\n")
    free = [word for of in ("udp", "kafka", "web") for word in (f"--{of}-port", "0")]
    done = steadflow("up", "--home", str(home), *free)
    assert "--replace" in sentence(done)
    assert not (home / "kafka").exists()


def test_two_launchers_in_one_home(home: Path) -> None:
    with running.hold(home):
        assert "runs in" in sentence(steadflow("up", "--home", str(home)))


def test_nothing_runs_is_an_answer(home: Path) -> None:
    for command in ("status", "down"):
        done = steadflow(command, "--home", str(home))
        assert (done.returncode, done.stderr) == (3, f"nothing runs in {home}\n")
    done = steadflow("status", "--home", str(home), "--json")
    assert done.returncode == 3
    assert '"running": false' in done.stdout
    assert "cannot be read" in sentence(steadflow("token", "--home", str(home)))


def test_an_unknown_option_ends_with_code_2(home: Path) -> None:
    done = steadflow("up", "--home", str(home), "--udp-prot", "1")
    assert done.returncode == 2
    assert "--udp-prot" in done.stderr


def test_an_old_python_is_told_so() -> None:
    program = "import sys; sys.version_info = (3, 10, 1); import cli"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("steadflow needs Python 3.11 or newer")

    made = subprocess.run(
        ["make", "setup", "PYTHON=false"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert made.returncode == 2
    assert made.stderr.startswith("steadflow needs Python 3.11 or newer")

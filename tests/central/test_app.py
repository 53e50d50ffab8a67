"""The central as a process: one sentence for what cannot work, a clean stop, another's port."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from cli.ports import free_port

ROOT = Path(__file__).parents[2]
DEADLINE_S = 120.0


def start(tmp_path: Path, *arguments: str, **settings: object) -> subprocess.Popen[str]:
    """Start a central without a broker."""
    given = {"data_dir": tmp_path / "central", "bootstrap_servers": "127.0.0.1:1"} | settings
    names = {f"STEADFLOW_CENTRAL_{name.upper()}": str(value) for name, value in given.items()}
    return subprocess.Popen(
        [sys.executable, "-m", "services.central", *arguments],
        cwd=ROOT,
        env={**os.environ, **names},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    try:
        out, err = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
    return process.returncode, out + err


def test_without_a_broker_it_answers_that_it_is_not_ready_and_stops_on_sigterm(
    tmp_path: Path,
) -> None:
    port = free_port()
    process = start(tmp_path, http_port=port)
    deadline_s = time.monotonic() + DEADLINE_S
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        while True:
            assert time.monotonic() < deadline_s
            assert process.poll() is None, ended(process)
            try:
                ready = client.get("/health/ready")
            except httpx.TransportError:
                continue
            break
        assert ready.status_code == 503
        assert client.get("/api/v1/totals").json()["flows"] == 0
    process.send_signal(signal.SIGTERM)
    code, said = ended(process)
    assert code == 0, said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"colour": "red"}, "central: unknown setting STEADFLOW_CENTRAL_COLOUR"),
        ({"http_port": "many"}, "central: setting STEADFLOW_CENTRAL_HTTP_PORT is not valid"),
        ({"raw_days": 40}, "raw_days <= minute_days <= hour_days must hold"),
        ({"metadata_url": "mysql://x/y"}, "central: setting metadata_url: "),
        ({"metadata_url": "postgresql://127.0.0.1:1/x"}, "metadata database cannot be opened"),
        ({"token_file": "/nowhere/token"}, "central: setting token_file: token file /nowhere"),
        ({"data_dir": "/proc/nowhere"}, "central: setting data_dir: /proc/nowhere"),
    ],
)
def test_what_cannot_work_is_one_sentence(
    tmp_path: Path, settings: dict[str, object], sentence: str
) -> None:
    code, said = ended(start(tmp_path, "--check", **settings))
    assert code == 2
    assert sentence in said
    assert len(said.strip().splitlines()) == 1, said


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = ended(start(tmp_path, http_port=port))
    assert code == 2
    assert f"127.0.0.1:{port} is not free" in said


def test_check_builds_everything_and_dump_hides_secrets(tmp_path: Path) -> None:
    code, said = ended(start(tmp_path, "--check"))
    assert (code, said) == (0, "")
    assert (tmp_path / "central" / "metadata.db").is_file()
    url = "postgresql://me:secret@127.0.0.1/x"
    code, said = ended(start(tmp_path, "--dump", metadata_url=url))
    assert code == 0
    assert "raw_days: 7" in said
    assert "secret" not in said.replace("**********", "")

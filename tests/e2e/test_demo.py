import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.cluster_client import ClusterClient, urls_of
from tests.faults.system import ROOT
from tests.waiting import wait_until

DEMO = [sys.executable, "-m", "cli", "demo"]
PORTS = ["--udp-port", "0", "--kafka-port", "0", "--web-port", "0"]


@pytest.mark.kafka
@pytest.mark.slow
def test_the_demo_without_a_terminal_ends_with_equal_totals(tmp_path: Path) -> None:
    done = subprocess.run(
        [*DEMO, "--home", str(tmp_path / "demo"), "--seconds", "5", *PORTS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "equal: all" in done.stdout
    assert "central-a" in done.stdout
    assert "central-b" in done.stdout


@pytest.mark.kafka
@pytest.mark.slow
def test_an_interrupted_demo_leaves_nothing_running(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    process = subprocess.Popen(
        [*DEMO, "--home", str(home), "--seconds", "600", *PORTS],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_until(lambda: (home / "run.json").exists(), "the demo starts", 300)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=300)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()

    assert not (home / "run.json").exists()
    assert processes_that_name(home) == []


@pytest.mark.kafka
@pytest.mark.faults
@pytest.mark.slow
def test_key_k_kills_the_primary_and_another_one_takes_over(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        [*DEMO, "--home", str(home), "--no-browser", *PORTS],
        cwd=ROOT,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "60"},
        stdin=inside,
        stdout=inside,
        stderr=inside,
    )
    os.close(inside)
    shown = bytearray()

    def shows(text: str) -> bool:
        while select.select([terminal], [], [], 0)[0]:
            try:
                shown.extend(os.read(terminal, 65_536))
            except OSError:
                break
        return text in shown.decode(errors="replace")

    def has_ended() -> bool:
        # Whoever writes into a terminal that nobody reads waits for ever.
        shows("")
        return process.poll() is not None

    try:
        wait_until(lambda: shows("Press k to kill central-"), "somebody acts", 300)
        # Who takes over must have heard of the flows before.
        wait_until(lambda: could_take_over(home), "the other one could", 120)
        os.write(terminal, b"k")
        wait_until(lambda: shows(" was killed, process "), "it is killed", 60)
        wait_until(lambda: shows(" ago: seen dead; nobody acted for "), "a takeover", 60)
        process.send_signal(signal.SIGINT)
        wait_until(has_ended, "the end", 300)
        assert shows("equal: all"), shown.decode(errors="replace")[-3_000:]
        assert process.returncode == 0
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(terminal)
    assert processes_that_name(home) == []


def could_take_over(home: Path) -> bool:
    with ClusterClient(urls_of(home)) as client:
        view = client.view()
    return view["primary"] is not None and not any(node["problem"] for node in view["nodes"])


def processes_that_name(home: Path) -> list[str]:
    """Return the command lines of living processes that have `home` in them or work below it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if str(home) in line:
                found.append(line)
    return found

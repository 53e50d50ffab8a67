"""The collector's process as a whole: children, pages, locks, and sentences for what is wrong."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.ports import free_port, free_udp_port
from services.ingest.app import COLLECTOR_LOCK, check, run
from services.ingest.config import IngestConfig
from services.ingest.spool.format import RecordKind
from services.ingest.spool.writer import hold
from shared.config import run_service
from shared.plain_http import PLAIN_HTTP
from tests.ingest.receivers import assert_streams_are_whole, payloads_of, read_spool
from tests.waiting import wait_until

DEADLINE_S = 90
ROOT = Path(__file__).parents[2]


@dataclass
class Collector:
    """A collector's process, whose Kafka is away."""

    spool: Path
    udp_port: int
    http_port: int
    process: subprocess.Popen[bytes]

    def get(self, path: str) -> httpx.Response:
        url = f"http://127.0.0.1:{self.http_port}{path}"
        return httpx.get(url, trust_env=False, verify=PLAIN_HTTP, timeout=30)

    def status(self) -> dict[str, Any]:
        with contextlib.suppress(httpx.HTTPError):
            answer: dict[str, Any] = self.get("/api/v1/status").json()
            return answer
        return {"workers": []}

    def pids(self) -> dict[tuple[str, int], int]:
        """Pids of the children that told their state themselves, by role and worker."""
        status = self.status()
        starting = [name for name, why in status.get("reasons", {}).items() if why == "starting"]
        return {
            (role, worker["worker"]): worker[f"{role}_pid"]
            for worker in status["workers"]
            for role in ("receiver", "decoder")
            if worker[f"{role}_pid"] and f"{role}-{worker['worker']}" not in starting
        }

    def children(self, count: int) -> dict[tuple[str, int], int]:
        """The pids once there are so many, as they were then."""
        found: dict[tuple[str, int], int] = {}

        def are_there() -> bool:
            nonlocal found
            found = self.pids()
            return len(found) == count

        wait_until(are_there, f"{count} children run")
        return found

    def receivers(self) -> list[dict[str, Any]]:
        """What the receivers say of themselves; empty of one that has not spoken yet."""
        return [worker["receiver"] or {} for worker in self.status()["workers"]]

    def received(self, fact: str, *, not_in: str = "") -> int:
        """A fact of all receivers together, those in stream `not_in` left out."""
        return sum(said.get(fact, 0) for said in self.receivers() if said.get("stream") != not_in)

    def streams(self) -> list[str]:
        """The streams that the receivers write."""
        return [said["stream"] for said in self.receivers() if said]

    def send(self, payload: bytes, source: str = "127.0.0.1") -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as exporter:
            exporter.bind((source, 0))
            exporter.sendto(payload, ("127.0.0.1", self.udp_port))


def environment(spool: Path, udp_port: int, http_port: int, **more: object) -> dict[str, str]:
    settings = {
        "spool_dir": spool,
        "udp_port": udp_port,
        "http_port": http_port,
        "bootstrap_servers": f"127.0.0.1:{free_port()}",
    } | more
    named = {f"STEADFLOW_INGEST_{key.upper()}": str(value) for key, value in settings.items()}
    return os.environ | named


def start(spool: Path, udp_port: int, http_port: int, workers: int) -> Collector:
    process = subprocess.Popen(
        [sys.executable, "-m", "services.ingest"],
        cwd=ROOT,
        env=environment(spool, udp_port, http_port, workers=workers),
    )
    return Collector(spool, udp_port, http_port, process)


@contextlib.contextmanager
def collector(spool: Path, *, workers: int = 1) -> Iterator[Collector]:
    udp_port, http_port = free_udp_port(), free_port()
    started = start(spool, udp_port, http_port, workers)
    try:
        yield started
    finally:
        started.process.terminate()
        started.process.wait(DEADLINE_S)


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.faults
@pytest.mark.slow
def test_killed_children_come_back_and_nothing_is_lost(tmp_path: Path) -> None:
    with collector(tmp_path, workers=2) as running:
        before = running.children(4)
        exporters = [f"127.0.3.{host}" for host in range(1, 9)]
        for exporter in exporters:
            running.send(b"before", exporter)
        # What a receiver holds between socket and spool dies with it: let it write first, and let
        # it be dead before the next ones come.
        wait_until(lambda: running.received("datagrams") == 8, "the receivers wrote")
        streams = set(running.streams())
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(map(is_running, before.values())), "the children died")
        for exporter in exporters:
            running.send(b"between", exporter)
        wait_until(
            lambda: len(set(running.pids().values()) - set(before.values())) == 4,
            "the next children run",
        )
        for exporter in exporters:
            running.send(b"after", exporter)
        # What the last receivers said of themselves stands there until the new ones speak.
        wait_until(
            lambda: streams.isdisjoint(running.streams()) and running.received("datagrams") == 16,
            "the next receivers wrote",
        )
        workers = running.status()["workers"]
        assert [len(worker["streams"]) for worker in workers] == [2, 2]
        text = running.get("/metrics").text
        assert 'steadflow_ingest_process_restarts_total{role="receiver"' in text
        assert "steadflow_ingest_received_datagrams_total" in text
        running.process.terminate()
        assert running.process.wait(DEADLINE_S) == 0
    found = []
    for worker in range(2):
        records = read_spool(tmp_path / str(worker))
        assert_streams_are_whole(records)
        assert records[-1][1].kind is RecordKind.END
        found += payloads_of(records)
        assert {int.from_bytes(r.exporter[12:], "big") % 2 for _, r in records if r.port} == {
            worker
        }
    assert sorted(found) == sorted([b"before", b"between", b"after"] * 8)


@pytest.mark.faults
@pytest.mark.slow
def test_children_end_with_their_holder_and_the_next_one_takes_the_port(tmp_path: Path) -> None:
    with collector(tmp_path) as running:
        pids = running.children(2)
        running.send(b"before")
        wait_until(lambda: running.received("datagrams") == 1, "the receiver wrote")
        (stream,) = running.streams()
        running.process.kill()
        running.process.wait()
        again = start(tmp_path, running.udp_port, running.http_port, 1)
        running.process = again.process
        wait_until(lambda: len(running.pids()) == 2, "both children run")
        assert not any(is_running(pid) for pid in pids.values())
        running.send(b"after")
        # What the last receiver said of itself stands there until the new one speaks.
        wait_until(lambda: running.received("datagrams", not_in=stream) == 1, "the next one wrote")
    records = read_spool(tmp_path / "0")
    assert_streams_are_whole(records)
    assert payloads_of(records) == [b"before", b"after"]


@pytest.mark.slow
def test_a_collector_without_kafka_receives_but_is_not_ready(tmp_path: Path) -> None:
    with collector(tmp_path) as running:
        wait_until(lambda: len(running.pids()) == 2, "both children run")
        # A receiver says so itself, some moments after it started.
        wait_until(
            lambda: set(running.status().get("reasons", {})) == {"decoder-0"},
            "the receiver is ready, the decoder is not",
        )
        assert running.get("/health/ready").status_code == 503
        assert running.get("/health/live").status_code == 200
        status = running.status()
        assert status["udp"] == f"127.0.0.1:{running.udp_port}"
        assert status["workers"][0]["key"] == "collector-1/0"


@dataclass
class Checker:
    """`python -m services.ingest --check` in this process."""

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, spool: Path, **settings: object) -> tuple[int, str]:
        """Return the exit code and what was said about `settings`."""
        settings = {"spool_dir": spool, "udp_port": 0, "http_port": 0} | settings
        with self.monkeypatch.context() as patched:
            for name, value in settings.items():
                patched.setenv(f"STEADFLOW_INGEST_{name.upper()}", str(value))
            code = run_service(IngestConfig, run, check=check, service="ingest", arguments=CHECK)
        return code, self.capsys.readouterr().err


CHECK = ["--check"]


@pytest.fixture
def checker(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Checker:
    return Checker(monkeypatch, capsys)


def test_good_settings_pass_and_start_nothing(checker: Checker, tmp_path: Path) -> None:
    assert checker(tmp_path) == (0, "")
    assert checker(tmp_path, workers=3) == (0, "")
    assert read_spool(tmp_path / "0") == []


@pytest.mark.parametrize("workers", [1, 2])
def test_a_taken_port_is_named(checker: Checker, tmp_path: Path, workers: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        found = checker(tmp_path, udp_port=port, workers=workers)
    sentence = f"setting udp_port: UDP port {port} on 127.0.0.1 is taken by another process"
    assert found == (2, f"ingest: {sentence}\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        code, said = checker(tmp_path, http_port=server.getsockname()[1])
    assert code == 2
    assert said.startswith("ingest: setting http_port: 127.0.0.1:")


def test_a_second_collector_in_one_folder_is_refused(checker: Checker, tmp_path: Path) -> None:
    lock = hold(tmp_path, COLLECTOR_LOCK)
    code, said = checker(tmp_path)
    os.close(lock)
    assert code == 2
    sentence = f"setting spool_dir: another collector already works in {tmp_path}"
    assert said == f"ingest: {sentence}\n"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("udp_host", "nonsense", "setting udp_host"),
        ("udp_host", "192.0.2.77", "setting udp_host"),
        ("udp_ports", 1, "unknown setting STEADFLOW_INGEST_UDP_PORTS"),
        ("workers", 0, "STEADFLOW_INGEST_WORKERS"),
        ("spool_bytes_max", 1 << 20, "spool_bytes_max must be at least 4 times segment_bytes"),
        ("spool_dir", "file/spool", "setting spool_dir"),
        ("token_file", "none", "setting token_file"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(
    checker: Checker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    name: str, value: object, expected: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    code, said = checker(tmp_path / "spool", **{name: value})
    assert code == 2
    assert said.count("\n") == 1
    assert expected in said

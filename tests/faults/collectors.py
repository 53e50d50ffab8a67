"""A collector of its own on a broker, started as a process, and broken by tests."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from cli.ports import free_port, free_udp_port
from services.ingest.spool.format import HEADER_BYTES, RECORD_HEADER_BYTES
from services.ingest.spool.reader import segments
from shared.plain_http import PLAIN_HTTP
from tests.stopping import freeze
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


@dataclass
class Collector:
    """A running collector with one worker."""

    spool: Path
    udp_port: int
    http_port: int
    process: subprocess.Popen[bytes]

    def get(self, path: str) -> httpx.Response:
        url = f"http://127.0.0.1:{self.http_port}{path}"
        return httpx.get(url, trust_env=False, verify=PLAIN_HTTP, timeout=30)

    def worker(self) -> dict[str, Any]:
        with contextlib.suppress(httpx.HTTPError):
            return dict(self.get("/api/v1/status").json()["workers"][0])
        return {}

    def send(self, payloads: Sequence[bytes]) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as exporter:
            exporter.bind(("127.0.0.1", 0))
            for payload in payloads:
                exporter.sendto(payload, ("127.0.0.1", self.udp_port))

    def kill_receiver_while_it_writes(self) -> None:
        """Kill it and leave half a record behind it, before the holder starts the next one."""
        pid = self.worker()["receiver_pid"]
        freeze(self.process.pid)
        os.kill(pid, signal.SIGKILL)
        # Nobody has waited for it yet: its end is when it has let go of the spool.
        wait_until(lambda: not os.listdir(f"/proc/{pid}/fd"), "the receiver is gone")
        live = segments(self.spool / "0")[-1].path
        with live.open("r+b") as file:
            half = file.read(HEADER_BYTES + RECORD_HEADER_BYTES - 7)[HEADER_BYTES:]
            file.seek(0, os.SEEK_END)
            file.write(half)
        self.process.send_signal(signal.SIGCONT)
        wait_until(lambda: self.worker().get("receiver_pid") not in (None, pid), "the next one")

    def is_drained(self) -> bool:
        """Whether Kafka has everything that the receiver wrote."""
        worker = self.worker()
        return bool(worker) and worker["last_acknowledged"] == worker["last_received"]


@contextlib.contextmanager
def collector(
    folder: Path, *, name: str, broker: str, without: str = "nothing"
) -> Iterator[Collector]:
    """A collector whose receivers lack a safeguard, as `tests/faults/careless.py` names them."""
    settings = {
        "name": name,
        "spool_dir": folder / "spool",
        "udp_port": free_udp_port("127.0.0.1"),
        "http_port": free_port(row=1),
        "bootstrap_servers": broker,
    }
    env = {f"STEADFLOW_INGEST_{key.upper()}": str(value) for key, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.careless", without], cwd=ROOT, env=os.environ | env
    )
    try:
        made = Collector(
            folder / "spool", int(str(settings["udp_port"])), int(str(settings["http_port"])),
            process,
        )  # fmt: skip
        wait_until(lambda: bool(made.worker().get("receiver")), "the collector is ready")
        yield made
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(60)

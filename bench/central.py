"""Kafka to store: what a real central spends on a log that is already there."""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from bench.processes import ROOT, cpu_s, start, stop
from bench.waiting import wait_until
from cli.broker import Broker
from cli.ports import free_port

SETTLE_S = 3.0
"""Merges that inserts ask for go on behind them; so long they count too."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One central's way through the log.

    rows: flow records in its store. insert_s, closing_s: wall time of its inserts and closings.
    flow_bytes, rollup_bytes: on disk, of active parts.
    """

    rows: int
    cpu_s: float
    insert_s: float
    closing_s: float
    flow_bytes: int
    rollup_bytes: int


class Central:
    """A central as a process on a folder of its own."""

    def __init__(self, folder: Path, bootstrap_servers: str) -> None:
        """folder: its data folder; what is in there stays."""
        self._folder = folder
        self._bootstrap_servers = bootstrap_servers
        self._http_port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns when it answers reports, with or without Kafka."""
        settings = {
            "data_dir": self._folder,
            "http_port": self._http_port,
            "bootstrap_servers": self._bootstrap_servers,
            "report_timeout_s": 60,
        }
        self._process = start(
            [sys.executable, "-m", "services.central"],
            log=self._folder.with_suffix(".log"),
            settings=settings,
            prefix="STEADFLOW_CENTRAL_",
        )
        wait_until(lambda: self.get("/api/v1/positions") is not None, "the central answers")

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            stop(self._process)
            self._process = None

    def get(self, path: str, **parameters: str) -> httpx.Response | None:
        """Return its answer; None where it does not listen yet."""
        url = f"http://127.0.0.1:{self._http_port}{path}"
        try:
            return httpx.get(url, params=parameters, timeout=120, trust_env=False)
        except httpx.HTTPError:
            return None

    def cpu_s(self) -> float:
        """Return the CPU-seconds it used."""
        assert self._process is not None
        return cpu_s([self._process.pid])

    def is_caught_up(self) -> bool:
        """Whether it has applied the log to its end, and closed what was due."""
        answer = self.get("/health/ready")
        if answer is None or answer.status_code != 200:
            return False
        rows = self._json("/api/v1/positions")["rows"]
        return bool(rows) and all(row["lag_records"] == 0 for row in rows)

    def sums(self) -> dict[str, float]:
        """Return its metrics, summed over their labels."""
        answer = self.get("/metrics")
        assert answer is not None
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(answer.text):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
        return found

    def _json(self, path: str) -> Any:  # Any: JSON.
        answer = self.get(path)
        assert answer is not None
        return answer.json()


def run_central(folder: Path, broker: Broker) -> Stored:
    """Let a new central read the whole log, and return what it cost.

    The broker stands still while the central starts, so that its start is not counted.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    central = Central(folder, broker.bootstrap_servers)
    broker.freeze()
    try:
        central.start()
        before_s = central.cpu_s()
    finally:
        broker.thaw()
    try:
        wait_until(central.is_caught_up, "the central has read the log")
        time.sleep(SETTLE_S)
        spent_s = central.cpu_s() - before_s
        sums = central.sums()
    finally:
        central.stop()
    sizes = table_bytes(folder / "store")
    shutil.rmtree(folder)
    return Stored(
        rows=int(sums["steadflow_central_flow_rows_total"]),
        cpu_s=spent_s,
        insert_s=sums["steadflow_central_insert_seconds_sum"],
        closing_s=sums["steadflow_central_closing_seconds_sum"],
        flow_bytes=sizes["flows"],
        rollup_bytes=sizes["rollups"],
    )


def table_bytes(store: Path) -> dict[str, int]:
    """Return the bytes on disk of each table of a store that nobody has open."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.store_size", str(store)],
        cwd=ROOT, capture_output=True, timeout=600, check=True,
    )  # fmt: skip
    return {str(name): int(size) for name, size in json.loads(done.stdout).items()}

"""Our collector under measurement: the real processes, UDP to Kafka."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from bench.kafka_log import end_offsets, log_bytes, read_flows
from bench.processes import cpu_s, start, stop
from bench.tool import Taken
from bench.waiting import wait_until
from cli.broker import Broker
from cli.ports import free_port, free_udp_port
from shared.topics import FLOWS, RATES


class SteadflowCollector:
    """One collector with one worker. lost: datagrams that it named as lost, so far."""

    name = "steadflow"

    def __init__(self, folder: Path, broker: Broker) -> None:
        """folder: for spool and log."""
        self.port = free_udp_port()
        self.lost = 0
        self._folder = folder
        self._broker = broker
        self._http_port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._before: dict[str, float] = {}
        self._ends: dict[int, int] = {}
        self._bytes = 0
        self._told_before = 0

    def start(self) -> None:
        """Start holder, receiver and decoder."""
        settings = {
            "name": "bench",
            "spool_dir": self._folder / "spool",
            "udp_port": self.port,
            "http_port": self._http_port,
            "bootstrap_servers": self._broker.bootstrap_servers,
        }
        self._process = start(
            [sys.executable, "-m", "services.ingest"],
            log=self._folder / "collector.log",
            settings=settings,
            prefix="STEADFLOW_INGEST_",
        )
        wait_until(self._is_ready, "the collector is ready")

    def begin(self) -> None:
        """Note processor time and the log's end."""
        wait_until(self._is_drained, "the collector is quiet")
        self._ends = end_offsets(self._broker.bootstrap_servers, FLOWS.name)
        self._bytes = self._log_bytes()
        self._told_before = self._told()
        self._before = self._cpu_s()

    def finish(self, datagrams: int) -> Taken:
        """Wait until Kafka acknowledged everything; count what the messages carry."""
        # The receiver tells its counts once a second; until then it may look drained.
        wait_until(lambda: self._told() - self._told_before >= datagrams, "all is received")
        wait_until(self._is_drained, "the collector has published")
        after = self._cpu_s()
        ends = end_offsets(self._broker.bootstrap_servers, FLOWS.name)
        read = read_flows(self._broker.bootstrap_servers, FLOWS.name, self._ends, ends)
        self.lost += read.lost
        spent = {stage: after[stage] - self._before[stage] for stage in after}
        return Taken(read.rows, self._log_bytes() - self._bytes, spent)

    def stop(self) -> None:
        """End it; its stream ends with it."""
        if self._process is not None:
            stop(self._process)
            self._process = None

    def _log_bytes(self) -> int:
        data = self._broker.plan.data
        return log_bytes(data, FLOWS.name) + log_bytes(data, RATES.name)

    def _cpu_s(self) -> dict[str, float]:
        assert self._process is not None
        worker = self._worker()
        return {
            "holder": cpu_s([self._process.pid]),
            "receiver": cpu_s([worker["receiver_pid"]]),
            "decoder": cpu_s([worker["decoder_pid"]]),
        }

    def _get(self, path: str) -> httpx.Response | None:
        url = f"http://127.0.0.1:{self._http_port}{path}"
        try:
            return httpx.get(url, timeout=10, trust_env=False)
        except httpx.HTTPError:
            return None

    def _worker(self) -> dict[str, Any]:
        answer = self._get("/api/v1/status")
        return {} if answer is None else dict(answer.json()["workers"][0])

    def _told(self) -> int:
        """Return the datagrams that the receiver has seen or knows to be dropped."""
        facts = self._worker().get("receiver", {})
        return sum(int(facts.get(name, 0)) for name in ("datagrams", "kernel_drops", "overflow"))

    def _is_ready(self) -> bool:
        answer = self._get("/health/ready")
        return answer is not None and answer.status_code == 200

    def _is_drained(self) -> bool:
        worker = self._worker()
        return bool(worker) and worker["last_acknowledged"] == worker["last_received"]

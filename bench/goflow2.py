"""goflow2 under measurement: one protobuf message per flow, to the same Kafka."""

import os
import subprocess
from pathlib import Path

import httpx

from bench.kafka_log import end_offsets, log_bytes
from bench.processes import cpu_s, start, stop
from bench.tool import Taken
from bench.waiting import wait_until, wait_until_still
from cli.broker import Broker
from cli.ports import free_port, free_udp_port

MODULE = "github.com/netsampler/goflow2/v2/cmd/goflow2"
VERSION = "v2.2.6"
TOPIC = "goflow2"
FLUSH = "1s"
"""How often it sends what it has; its default of 5 s only makes the run longer."""
_BUILD_S = 300.0


class NotBuilt(Exception):
    """goflow2 is not here and cannot be built; the text says why in one sentence."""


def build(folder: Path) -> Path:
    """Return the program of the pinned version, built below `folder` when it is not there yet."""
    program = folder / VERSION / "goflow2"
    if program.exists():
        return program
    program.parent.mkdir(parents=True, exist_ok=True)
    places = {"GOBIN": program.parent.absolute(), "GOPATH": folder.absolute() / "gopath"}
    try:
        done = subprocess.run(
            ["go", "install", "-modcacherw", f"{MODULE}@{VERSION}"],
            env=os.environ | {name: str(place) for name, place in places.items()},
            capture_output=True,
            text=True,
            timeout=_BUILD_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise NotBuilt("there is no Go compiler (`go`)") from error
    except subprocess.TimeoutExpired as error:
        raise NotBuilt(f"building took more than {_BUILD_S:.0f} s") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise NotBuilt(f"`go install` failed: {last}")
    return program


class Goflow2:
    """One goflow2, with its own defaults."""

    name = "goflow2"

    def __init__(self, program: Path, folder: Path, broker: Broker) -> None:
        """folder: for its log. The topic must be there."""
        self.port = free_udp_port()
        self._program = program
        self._log = folder / "goflow2.log"
        self._broker = broker
        self._http_port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._before_s = 0.0
        self._flows = self._bytes = 0

    def start(self) -> None:
        """Start it as its documentation does: protobuf to Kafka, everything else by default."""
        self._process = start(
            [
                self._program,
                f"-listen=netflow://127.0.0.1:{self.port}",
                f"-addr=127.0.0.1:{self._http_port}",
                "-format=bin",
                "-transport=kafka",
                f"-transport.kafka.brokers={self._broker.bootstrap_servers}",
                f"-transport.kafka.topic={TOPIC}",
                f"-transport.kafka.flushfreq={FLUSH}",
            ],
            log=self._log,
        )
        wait_until(self._answers, "goflow2 answers")

    def begin(self) -> None:
        """Note processor time and the log's end."""
        self._flows, self._bytes = self._count(), self._log_bytes()
        self._before_s = self._cpu_s()

    def finish(self, datagrams: int) -> Taken:
        """Wait until the topic has not grown for much longer than it flushes."""
        flows = wait_until_still(self._count, for_s=3.0)
        spent_s = self._cpu_s() - self._before_s
        return Taken(flows - self._flows, self._log_bytes() - self._bytes, {"goflow2": spent_s})

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            stop(self._process)
            self._process = None

    def _answers(self) -> bool:
        try:
            httpx.get(f"http://127.0.0.1:{self._http_port}/metrics", timeout=5, trust_env=False)
        except httpx.HTTPError:
            return False
        return True

    def _cpu_s(self) -> float:
        assert self._process is not None
        return cpu_s([self._process.pid])

    def _count(self) -> int:
        return sum(end_offsets(self._broker.bootstrap_servers, TOPIC).values())

    def _log_bytes(self) -> int:
        return log_bytes(self._broker.plan.data, TOPIC)

"""What a collector under measurement has to offer, and one measured round of it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.processes import ROOT, unread_bytes
from bench.waiting import wait_until


@dataclass(frozen=True, slots=True)
class Taken:
    """What a tool made of a round: flows and bytes that it wrote, CPU-seconds by its stages."""

    flows: int
    bytes: int
    cpu_s: Mapping[str, float]


class Tool(Protocol):
    """A collector that listens on loopback. `start` and `stop` belong to a round of all loads."""

    name: str
    port: int

    def start(self) -> None:
        """Start it; returns when it listens."""

    def begin(self) -> None:
        """Note where it stands before datagrams come."""

    def finish(self, datagrams: int) -> Taken:
        """Wait until it has written what it received of the `datagrams` sent since `begin`."""

    def stop(self) -> None:
        """End it."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A load's datagrams in a file."""

    file: Path
    flows: int
    datagrams: int


@dataclass(frozen=True, slots=True)
class Round:
    """One measured sending. sent, taken: flows. bytes: written by the tool."""

    sent: int
    taken: int
    bytes: int
    cpu_s: Mapping[str, float]
    flows_per_s: float

    @property
    def flows_per_cpu_s(self) -> float:
        """Flows that arrived for each CPU-second of all stages."""
        return self.taken / max(sum(self.cpu_s.values()), 1e-9)


def run_round(tool: Tool, load: Prepared, *, flows_per_s: float) -> Round:
    """Send a load to a running tool and return what it cost."""
    tool.begin()
    rate = flows_per_s * load.datagrams / load.flows
    command = [
        sys.executable, "-m", "bench.sender", str(load.file), "--port", str(tool.port),
        "--rate", str(rate), "--parent", str(os.getpid()),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=600, check=True)
    said = json.loads(done.stdout)
    wait_until(lambda: unread_bytes(tool.port) == 0, f"{tool.name} reads its socket")
    taken = tool.finish(load.datagrams)
    return Round(load.flows, taken.flows, taken.bytes, taken.cpu_s, load.flows / said["seconds"])

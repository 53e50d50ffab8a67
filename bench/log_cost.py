"""`python -m bench.log_cost HOME ...`: what the log costs on machines that run here.

Disk is what the segments of each topic grow by, in the folder of each broker. Network is what the
kernel counted at the brokers' sockets, so with TLS and Kafka's own words in it; addresses on
loopback stand for machines. The homes are those of `steadflow up`, `standby join`, `witness join`.
"""

import argparse
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil

from cli import running

SPAN_S = 60.0
_PORTS = re.compile(r"(\w+)://[^,\s]*?:(\d+)")
_COUNTED = re.compile(r"bytes_(sent|received):(\d+)")
_PID = re.compile(r"pid=(\d+)")


class Socket(NamedTuple):
    """An established connection, as its own end sees it. sent, received: bytes so far."""

    local: str
    remote: str
    pid: int
    sent: int
    received: int


class Way(NamedTuple):
    """Bytes from one kind of process to another."""

    source: str
    target: str


def sockets(said: str) -> Iterator[Socket]:
    """Read what `ss -tinpH` says."""
    lines = said.splitlines()
    for head, counters in pairwise(lines):
        if head[:1].isspace() or not counters[:1].isspace():
            continue
        # With one state asked for, it is not named.
        _received, _sent, local, remote, *_users = head.split()
        counted = {kind: int(number) for kind, number in _COUNTED.findall(counters)}
        pid = _PID.search(head)
        yield Socket(
            plain(local), plain(remote), 0 if pid is None else int(pid[1]),
            counted.get("sent", 0), counted.get("received", 0),
        )  # fmt: skip


def plain(address: str) -> str:
    """Return an IPv4 address that is written as IPv6 as what it is."""
    return re.sub(r"^\[::ffff:([\d.]+)\]", r"\1", address)


def passed(found: Iterable[Socket], kinds: Mapping[int, str], ports: set[int]) -> Counter[Way]:
    """Return the bytes sent over each way; one end of each connection is a port of `ports`."""
    ends = {(each.local, each.remote): each for each in found}
    total: Counter[Way] = Counter()
    for (local, remote), each in ends.items():
        other = ends.get((remote, local))
        if other is None or not {int(end.rpartition(":")[2]) for end in (local, remote)} & ports:
            continue
        total[Way(kinds.get(each.pid, "other"), kinds.get(other.pid, "other"))] += each.sent
    return total


def segments(homes: Iterable[Path]) -> Counter[tuple[str, str]]:
    """Return the bytes of the log by machine and topic."""
    found: Counter[tuple[str, str]] = Counter()
    for home in homes:
        for file in home.glob("kafka/data/*/*.log"):
            found[home.name, file.parent.name.rpartition("-")[0]] += file.stat().st_size
    return found


def main() -> None:
    """Measure for a while, and print bytes a second and a flow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("homes", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=SPAN_S)
    asked = parser.parse_args()
    kinds, ports = _kinds(asked.homes), _ports(asked.homes)
    begun_s, flows = time.monotonic(), _flows(asked.homes)
    disk, net = segments(asked.homes), passed(_sockets(), kinds, ports)
    time.sleep(asked.seconds)
    more_disk = segments(asked.homes) - disk
    more_net = passed(_sockets(), kinds, ports) - net
    more_flows, spent_s = _flows(asked.homes) - flows, time.monotonic() - begun_s
    _say(f"{more_flows} flows in {spent_s:.1f} s: {more_flows / spent_s:.0f} a second")
    for (machine, topic), size in sorted(more_disk.items()):
        _show(f"disk of {machine}, {topic}", size, spent_s, more_flows)
    for way, size in sorted(more_net.items()):
        _show(f"network, {way.source} to {way.target}", size, spent_s, more_flows)


def _show(what: str, size: int, spent_s: float, flows: int) -> None:
    _say(f"{what}: {size / spent_s:,.0f} bytes/s, {size / max(1, flows):.1f} a flow")


def _sockets() -> list[Socket]:
    command = ["ss", "-tinpH", "state", "established"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return list(sockets(done.stdout))


def _kinds(homes: Iterable[Path]) -> dict[int, str]:
    """Return what each process of the machines is; those that it started are what it is."""
    found: dict[int, str] = {}
    for home in homes:
        noted = running.read(home) or {}
        kinds = [("broker", [noted.get("broker", {})])]
        names = ("central", "registry", "collector", "agent")
        keys = ("centrals", "registries", "collectors", "agents")
        kinds += [(name, noted.get(key, [])) for name, key in zip(names, keys, strict=True)]
        for kind, entries in kinds:
            for pid in (each.get("pid") for each in entries):
                if pid is not None:
                    found |= dict.fromkeys(_family(int(pid)), kind)
    return found


def _family(pid: int) -> list[int]:
    try:
        process = psutil.Process(pid)
        return [pid, *(child.pid for child in process.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def _ports(homes: Iterable[Path]) -> set[int]:
    found = set()
    for home in homes:
        for line in (home / "kafka" / "server.properties").read_text().splitlines():
            if line.startswith("listeners="):
                found |= {int(port) for _, port in _PORTS.findall(line)}
    return found


def _flows(homes: Iterable[Path]) -> int:
    """Return the flows that the first central counted so far."""
    for home in homes:
        for central in (running.read(home) or {}).get("centrals", []):
            url = f"{central['url']}/api/v1/totals"
            answer = httpx.get(url, timeout=60, trust_env=False)
            return int(answer.raise_for_status().json()["flows"])
    raise SystemExit("no central runs in these homes")


def _say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")


if __name__ == "__main__":
    main()

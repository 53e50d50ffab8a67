"""`make join`: how a machine becomes a hot standby of a full store, under load.

Three machines join one after the other: undisturbed, killed at random moments and begun again, and
over a slow link. Each must be proven equal, and in the end all count what was sent.
"""

import argparse
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil

from bench.slow_link import Link, Way, slow_link
from bench.waiting import TookTooLong, wait_until
from cli import running
from cli.ports import free_port
from cli.status import gather
from tests.faults.system import ROOT, STEADFLOW, System, traffic
from tests.faults.system import running as running_system

FAR = "127.0.0.2"
"""Where the first machine is for others; a link may be in between, or none."""
NEAR = "127.0.0.1"
SUMS = ("flows", "bytes", "packets")
JOIN_TIMEOUT_S = 3600.0
FILL_PER_S = 12_000


class Killed(NamedTuple):
    """When in its life a join was killed, and what it was at."""

    after_s: float
    phase: str


@dataclass(frozen=True, slots=True)
class Joined:
    """How one machine's join went. rows_at_first: flows in the primary when it began."""

    how: str
    seconds: float
    copied_bytes: int
    kills: list[Killed]
    rows_at_first: int
    differences: int


def main() -> int:
    """Run all three; the exit code says whether everything that must hold does."""
    asked = _arguments()
    rng = random.Random(asked.seed)
    _say(f"seed {asked.seed}")
    with contextlib.ExitStack() as opened:
        work = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="steadflow-join-")))
        system = opened.enter_context(running_system(work / "one"))
        sums = _fill(system, asked.flows)
        site = _open(system)
        sending = opened.enter_context(traffic(system, "--rate", "500", "--duration", "0"))
        found = []
        for how in asked.ways:
            link = _link(how, asked)
            with slow_link(link, site.ways):
                found.append(_join(site, work / how, how, rng, asked.kills))
            _say(json.dumps(asdict(found[-1])))
        sending.terminate()
        sent = json.loads(sending.communicate(timeout=60)[0])
        wanted = {name: sums[name] + sent[name] for name in SUMS}
        homes = [work / how for how in asked.ways]
        try:
            _wait_equal(system, homes, wanted)
        finally:
            for home in homes:
                system.run("down", "--home", str(home), check=False)
    _say(f"all count what was sent: {wanted}")
    return 1 if any(each.differences for each in found) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flows", type=int, default=5_000_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--delay-ms", type=float, default=100.0, help="of the slow link, one way")
    parser.add_argument("--mbit-s", type=float, default=20.0, help="of the slow link")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--ways", nargs="+", default=["plain", "killed", "slow"])
    return parser.parse_args()


def _link(how: str, asked: argparse.Namespace) -> Link:
    if how == "slow":
        return Link(asked.delay_ms / 1000, asked.mbit_s * 1e6 / 8, stall_every_s=20, stall_s=3)
    return Link(0.0, 1e12)


def _fill(system: System, flows: int) -> dict[str, int]:
    """Send `flows`, and return what was sent once both centrals hold it."""
    seconds = max(1, flows // FILL_PER_S)
    with traffic(system, "--rate", str(FILL_PER_S), "--duration", str(seconds)) as sending:
        _say(f"filling the store: {seconds} s")
        sent = json.loads(sending.communicate(timeout=seconds + 600)[0])
    sums = {name: int(sent[name]) for name in SUMS}
    _wait_equal(system, [], sums)
    _say(f"the store holds {sums['flows']} flows")
    return sums


@dataclass(frozen=True, slots=True)
class Site:
    """The first machine, opened to others, whose ports are reached through `ways`."""

    system: System
    ways: list[Way]


def _open(system: System) -> Site:
    https_port, kafka_port = free_port(row=2), free_port(row=2)
    system.run(
        "standby", "enable", "--host", FAR, "--bind", NEAR, "--https-port", str(https_port),
        "--kafka-port", str(kafka_port), "--home", str(system.home),
    )  # fmt: skip
    ports = (https_port, https_port + 1, kafka_port)
    return Site(system, [Way(FAR, port, NEAR, port) for port in ports])


def _join(site: Site, home: Path, how: str, rng: random.Random, times: int) -> Joined:
    words = ("standby", "invite", "--home", str(site.system.home), "--json")
    line = json.loads(site.system.run(*words).stdout)["line"].split()[1:]
    # Filling the store is a flow rate that would be refused, and is over.
    more = [
        "--home", str(home), "--name", f"central-{how}", "--host", NEAR,
        "--https-port", str(free_port()), "--web-port", "0", "--force",
    ]  # fmt: skip
    rows = int(site.system.ask("central-a", "/api/v1/totals")["flows"])
    began_s = time.monotonic()
    kills: list[Killed] = []
    for span_s in [rng.uniform(1, 25) for _ in range(times if how == "killed" else 0)]:
        process = _start([*line, *more])
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(span_s)
        phase = _state(home).get("phase", "")
        _kill_all(process)
        kills.append(Killed(round(span_s, 1), phase))
        _say(f"killed after {span_s:.1f} s: {phase or 'nothing noted yet'}")
    process = _start([*line, *more])
    wait_until(
        lambda: _is_ready(home, process), f"{how}: proven", deadline_s=JOIN_TIMEOUT_S, every_s=0.5
    )
    spent_s = time.monotonic() - began_s
    proof = httpx.get(f"{_central(home)['url']}/api/v1/proof", timeout=30, trust_env=False)
    return Joined(
        how,
        round(spent_s, 1),
        int(_state(home).get("bytes_total", 0)),
        kills,
        rows,
        int(proof.json()["differences_total"]),
    )


def _start(words: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*STEADFLOW, *words], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _kill_all(process: "subprocess.Popen[bytes]") -> None:
    """`kill -9` of the launcher and of all that it started, as when the power fails."""
    with contextlib.suppress(psutil.NoSuchProcess):
        own = psutil.Process(process.pid)
        for each in [own, *own.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
    process.wait()


def _is_ready(home: Path, process: "subprocess.Popen[bytes]") -> bool:
    if process.poll() is not None:
        raise TookTooLong(f"the join ended with code {process.returncode}: {_state(home)}")
    noted = running.read(home)
    return noted is not None and noted["pid"] == process.pid and bool(noted["ready"])


def _state(home: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads((home / "join.json").read_text())
    except FileNotFoundError:
        return {}
    return content


def _central(home: Path) -> dict[str, Any]:
    central: dict[str, Any] = gather(home)["centrals"][0]
    return central


def _wait_equal(system: System, homes: list[Path], wanted: dict[str, int]) -> None:
    urls = [each["url"] for each in system.status()["centrals"]]
    urls += [_central(home)["url"] for home in homes]

    def all_count_it() -> bool:
        return all(_totals(url) == wanted for url in urls)

    wait_until(all_count_it, f"{len(urls)} centrals count what was sent", every_s=1.0)


def _totals(url: str) -> dict[str, int] | None:
    try:
        answer = httpx.get(f"{url}/api/v1/totals", timeout=30, trust_env=False)
        return {name: int(answer.json()[name]) for name in SUMS} if answer.is_success else None
    except httpx.HTTPError:
        return None


def _say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

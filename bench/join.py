"""`make join`: how a machine becomes a hot standby of a full store, under load.

Three machines join one after the other, and leave again: undisturbed, killed at random moments and
begun again, and over a slow link. Each must be proven equal, and count what was sent.
"""

import argparse
import contextlib
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from bench.far_machine import FarMachine, far_machine
from bench.slow_link import Link, Way, slow_link
from bench.waiting import TookTooLong, wait_until
from cli import running
from cli.ports import free_port
from tests.faults.system import ROOT, STEADFLOW, System, traffic
from tests.faults.system import running as running_system

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
        far = opened.enter_context(far_machine())
        system = opened.enter_context(running_system(work / "one"))
        sums = _fill(system, asked.flows)
        site = _open(system, far)
        found = []
        for how in asked.ways:
            with slow_link(_link(how, asked), site.ways):
                joined, sent = _joined(site, work / how, how, rng, asked.kills, sums)
            found.append(joined)
            sums = sent
            _say(json.dumps(asdict(joined)))
    _say(f"all counted what was sent: {sums}")
    return 1 if any(each.differences for each in found) else 0


def _joined(
    site: "Site", home: Path, how: str, rng: random.Random, times: int, sums: dict[str, int]
) -> tuple[Joined, dict[str, int]]:
    """Have a machine join, compare, and leave; how it went, and all that was sent by then."""
    try:
        with traffic(site.system, "--rate", "500", "--duration", "0") as sending:
            joined = _join(site, home, how, rng, times)
            sending.terminate()
            more = json.loads(sending.communicate(timeout=60)[0])
        sent = {name: sums[name] + int(more[name]) for name in SUMS}
        _wait_equal(site, home, sent)
        # The next one finds the cluster as this one did.
        site.there("standby", "leave", "--home", str(home), "--remove-data")
    finally:
        site.there("down", "--home", str(home), check=False)
    return joined, sent


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
    _wait_here(system, sums)
    _say(f"the store holds {sums['flows']} flows")
    return sums


@dataclass(frozen=True, slots=True)
class Site:
    """The first machine, opened to others, whose ports are reached through `ways`."""

    system: System
    far: FarMachine
    ways: list[Way]

    def there(self, *words: str, check: bool = True) -> str:
        """Run `steadflow ...` on the other machine to its end; what it printed."""
        done = subprocess.run(
            [*self.far.inside, *STEADFLOW, *words],
            cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        if check and done.returncode:
            raise TookTooLong(f"steadflow {' '.join(words)}: {done.stdout}\n{done.stderr}")
        return done.stdout


def _open(system: System, far: FarMachine) -> Site:
    https_port, kafka_port = free_port(row=2), free_port(row=2)
    here = socket.gethostbyname(far.us)
    system.run(
        "standby", "enable", "--host", far.us, "--bind", here, "--https-port", str(https_port),
        "--kafka-port", str(kafka_port), "--home", str(system.home),
    )  # fmt: skip
    # Pages of both centrals; the broker and its controller.
    ports = (https_port, https_port + 1, kafka_port, kafka_port + 1)
    return Site(system, far, [Way(far.our_end, port, here, port) for port in ports])


def _join(site: Site, home: Path, how: str, rng: random.Random, times: int) -> Joined:
    words = ("standby", "invite", "--home", str(site.system.home), "--json")
    line = json.loads(site.system.run(*words).stdout)["line"].split()[1:]
    # Filling the store is a flow rate that would be refused, and is over.
    more = [
        "--home", str(home), "--name", f"central-{how}", "--host", site.far.address, "--force",
    ]  # fmt: skip
    rows = int(site.system.ask("central-a", "/api/v1/totals")["flows"])
    began_s = time.monotonic()
    kills: list[Killed] = []
    for span_s in [rng.uniform(1, 25) for _ in range(times if how == "killed" else 0)]:
        process = _start(site, [*line, *more])
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(span_s)
        phase = _state(home).get("phase", "")
        _kill_all(process)
        kills.append(Killed(round(span_s, 1), phase))
        _say(f"killed after {span_s:.1f} s: {phase or 'nothing noted yet'}")
    process = _start(site, [*line, *more])
    wait_until(
        lambda: _is_ready(home, process), f"{how}: proven", deadline_s=JOIN_TIMEOUT_S, every_s=0.5
    )
    spent_s = time.monotonic() - began_s
    proof = site.system.ask("central-a", "/api/v1/proof")
    return Joined(
        how,
        round(spent_s, 1),
        int(_state(home).get("bytes_total", 0)),
        kills,
        rows,
        int(proof["differences_total"]),
    )


def _start(site: Site, words: list[str]) -> "subprocess.Popen[bytes]":
    command = [*site.far.inside, *STEADFLOW, *words]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


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


def _wait_equal(site: Site, home: Path, wanted: dict[str, int]) -> None:
    """Wait until both centrals here, and the one there, count what was sent."""
    _wait_here(site.system, wanted)

    def counts_it() -> bool:
        said = site.there("report", "totals", "--home", str(home), "--json", check=False)
        return bool(said) and _sums(json.loads(said)) == wanted

    wait_until(counts_it, "the machine that joined counts what was sent", every_s=1.0)


def _wait_here(system: System, wanted: dict[str, int]) -> None:
    def all_count_it() -> bool:
        answers = [system.ask(name, "/api/v1/totals") for name in ("central-a", "central-b")]
        return all(answer is not None and _sums(answer) == wanted for answer in answers)

    wait_until(all_count_it, "both centrals count what was sent", every_s=1.0)


def _sums(answer: dict[str, Any]) -> dict[str, int]:
    return {name: int(answer[name]) for name in SUMS}


def _say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

"""A compose project under test: what was sent to it, and whether every central counted that."""

import contextlib
import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.deploy.containers import (
    CENTRALS,
    ROOT,
    SUMS,
    Failed,
    Project,
    Totals,
    added,
    decoded,
    run,
    wait_until,
)

STEADFLOW = [sys.executable, "-m", "cli"]
CAPTURES = ("ipfixcol2__example_flows", "graylog__nprobe_netflow9_3", "graylog__netgraph_netflow5")
DATAGRAMS_PER_S = 200
FLOWS_PER_S = 400


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


@dataclass
class Rehearsal:
    """One project under test, and all that was sent to it so far. centrals: all it has by now."""

    project: Project
    centrals: tuple[str, ...] = CENTRALS
    started: float = field(default_factory=time.monotonic)
    since: str = field(
        default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:00Z"), init=False
    )
    sent: list[Totals] = field(default_factory=list)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.project.udp_port}"

    def up(self, *services: str) -> None:
        begun = time.monotonic()
        command = ("up", "--detach", "--build", "--wait", "--wait-timeout", "400")
        self.project.compose(*command, *services)
        say(f"  built and healthy after {time.monotonic() - begun:.0f} s")

    def start(self, *services: str) -> None:
        """Start services (again), as an operator would; returns when they are healthy."""
        begun = time.monotonic()
        command = ("up", "--detach", "--no-deps", "--wait", "--wait-timeout", "300")
        self.project.compose(*command, *services)
        say(f"  {', '.join(services)}: started, healthy after {time.monotonic() - begun:.0f} s")

    def replay(self) -> None:
        """Send the captures, or invented traffic where there are none; all of it is spooled."""
        found = [path for path in captures() if path.exists()]
        if not found:
            self.send_traffic(5)
            return
        before = self.project.received_datagrams()
        datagrams = 0
        for path in found:
            command = ["replay", str(path), "--to", self.target, "--json"]
            facts = json.loads(run([*STEADFLOW, *command, "--rate", str(DATAGRAMS_PER_S)]))
            datagrams += facts["datagrams"]
            self.sent.append(truth(path))
        wait_until(
            lambda: self.project.received_datagrams() == before + datagrams,
            f"the spool holds {datagrams} more datagrams",
        )
        flows = sum(each["flows"] for each in self.sent[-len(found) :])
        say(f"  {len(found)} captures sent and spooled: {datagrams} datagrams, {flows} flows")

    @contextlib.contextmanager
    def traffic(self, seconds: int, *, flows_per_s: int = FLOWS_PER_S) -> Iterator[None]:
        """Invented traffic while the block runs, and to its end."""
        command = ["traffic", "--to", self.target, "--rate", str(flows_per_s), "--json"]
        # Loopback has one address inside the containers: each version is one exporter there.
        command += ["--exporters", "3", "--duration", str(seconds)]
        process = subprocess.Popen(
            [*STEADFLOW, *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            yield
            output, _ = process.communicate(timeout=seconds + 60)
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        facts = json.loads(output)
        self.sent.append({name: facts[name] for name in SUMS})
        say(f"  traffic sent meanwhile: {facts['datagrams']} datagrams, {facts['flows']} flows")

    def send_traffic(self, seconds: int) -> None:
        with self.traffic(seconds):
            pass

    def compare(self, *centrals: str) -> None:
        """Wait until centrals, or all, counted exactly what was sent, not more and not less."""
        asked = centrals or self.centrals
        expected = added(self.sent)
        until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:00Z")
        found: dict[str, dict[str, int] | None] = {}

        def equal() -> bool:
            found.update(self.project.totals(asked, self.since, until))
            return all(found[central] == expected for central in asked)

        try:
            wait_until(equal, "all centrals count what was sent")
        except Failed as error:
            losses = self.project.ask(
                asked[0], "/api/v1/losses", **{"from": self.since, "to": until}
            )
            raise Failed(f"{error}: sent {expected}, found {found}, losses {losses}") from error
        numbers = ", ".join(f"{expected[name]:,} {name}" for name in SUMS)
        say(f"  EQUAL: {' = '.join(['sent', *asked])}: {numbers}")

    def acts(self, central: str) -> bool:
        """Whether a central says of itself that it is the primary."""
        return self.project.ask(central, "/primary") is not None

    def primary(self) -> str:
        """Return who acts, once every other central could take over."""

        def could() -> bool:
            acting = [central for central in self.centrals if self.acts(central)]
            view = self.project.ask(acting[0], "/api/v1/cluster") if acting else None
            nodes = [] if view is None else view["nodes"]
            return [node["problem"] for node in nodes] == [""] * len(self.centrals)

        wait_until(could, "one central acts, the others could")
        return next(central for central in self.centrals if self.acts(central))

    def epoch(self, central: str) -> int:
        """Return the epoch that a central knows. Raises Failed while it does not answer."""
        view = self.project.ask(central, "/api/v1/cluster")
        if view is None:
            raise Failed(f"{central} does not say who is primary")
        return int(view["epoch"])

    def taken_over(self, *gone: str) -> None:
        """Wait until a central that is not `gone` acts, and say how long nobody did."""
        others = [central for central in self.centrals if central not in gone]
        wait_until(lambda: any(map(self.acts, others)), f"{' or '.join(others)} acts")
        new = next(filter(self.acts, others))
        last = self.project.ask(new, "/api/v1/cluster")["last_takeover"]
        say(f"  {new} took over: {last['reason']}; nobody acted for {last['seconds']:.2f} s")

    def not_taken_over(self, primary: str, epoch: int) -> None:
        """Raise Failed unless the primary acts, in the epoch of before."""
        wait_until(lambda: self.acts(primary), f"{primary} acts")
        if (now := self.epoch(primary)) != epoch:
            raise Failed(f"the role went from hand to hand: epoch {epoch}, then {now}")
        say(f"  {primary} is the primary as before, in the same epoch")


@functools.cache
def truth(capture: Path) -> Totals:
    """Return what the launcher's own `steadflow decode` finds in a capture."""
    return decoded(run([*STEADFLOW, "decode", str(capture)]).splitlines())


def captures() -> list[Path]:
    shared = Path(os.environ.get("STEADFLOW_SHARED") or ROOT.parent / "shared")
    return [shared / "captures" / "scenarios" / f"{name}.pcap" for name in CAPTURES]


@contextlib.contextmanager
def started(project: Project, *services: str) -> Iterator[Rehearsal]:
    """A project of which `services`, or all, are up; whatever happens, nothing of it stays."""
    test = Rehearsal(project)
    file = project.file.relative_to(ROOT)
    say(f"{file}: up")
    try:
        test.up(*services)
        yield test
    except BaseException:
        # What the containers said last is gone with them.
        sys.stderr.write(project.compose("ps", "--all", check=False))
        sys.stderr.write(project.compose("logs", "--tail", "25", check=False))
        raise
    finally:
        say(f"{file}: down")
        project.compose("unpause", check=False)
        project.compose("down", "--volumes", "--timeout", "30", check=False)
    label = f"label=com.docker.compose.project={project.name}"
    for kind in (["ps", "--all"], ["volume", "ls"], ["network", "ls"]):
        if left := run(["docker", *kind, "--quiet", "--filter", label]).split():
            raise Failed(f"left behind: {kind[0]} {left}")

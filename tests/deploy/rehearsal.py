"""`make compose-test`: both compose files brought up, broken, compared and taken down.

Functional only: it says nothing about speed. Everything runs under project names of its own, on
ports that are free, and is taken down whatever happens.
"""

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
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

SINGLE = ROOT / "deploy" / "docker-compose.yml"
CLUSTER = ROOT / "deploy" / "docker-compose.cluster.yml"
STEADFLOW = [sys.executable, "-m", "cli"]
CAPTURES = ("ipfixcol2__example_flows", "graylog__nprobe_netflow9_3", "graylog__netgraph_netflow5")
DATAGRAMS_PER_S = 200
FLOWS_PER_S = 400
LIMIT_S = 3000
"""After so long SIGALRM ends it, and everything is taken down."""


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


@dataclass
class Rehearsal:
    """One project under test, and all that was sent to it so far."""

    project: Project
    started: float = field(default_factory=time.monotonic)
    since: str = field(
        default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:00Z"), init=False
    )
    sent: list[Totals] = field(default_factory=list)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.project.udp_port}"

    def up(self) -> None:
        begun = time.monotonic()
        self.project.compose("up", "--detach", "--build", "--wait", "--wait-timeout", "400")
        say(f"  built and healthy after {time.monotonic() - begun:.0f} s")

    def start(self, service: str) -> None:
        """Start one service again, as an operator would; returns when it is healthy."""
        begun = time.monotonic()
        command = ("up", "--detach", "--no-deps", "--wait", "--wait-timeout", "200", service)
        self.project.compose(*command)
        say(f"  {service}: started, healthy after {time.monotonic() - begun:.0f} s")

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
    def traffic(self, seconds: int) -> Iterator[None]:
        """Invented traffic while the block runs, and to its end."""
        command = ["traffic", "--to", self.target, "--rate", str(FLOWS_PER_S), "--json"]
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

    def compare(self) -> None:
        """Wait until both centrals counted exactly what was sent, not more and not less."""
        expected = added(self.sent)
        until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:00Z")
        found: dict[str, dict[str, int] | None] = {}

        def equal() -> bool:
            found.update(self.project.totals(self.since, until))
            return all(found[central] == expected for central in CENTRALS)

        try:
            wait_until(equal, "both centrals count what was sent")
        except Failed as error:
            losses = self.project.ask(
                "central-a", "/api/v1/losses", **{"from": self.since, "to": until}
            )
            raise Failed(f"{error}: sent {expected}, found {found}, losses {losses}") from error
        numbers = ", ".join(f"{expected[name]:,} {name}" for name in SUMS)
        say(f"  EQUAL: sent = central-a = central-b: {numbers}")

    def acts(self, central: str) -> bool:
        """Whether a central says of itself that it is the primary."""
        return self.project.ask(central, "/primary") is not None

    def primary(self) -> str:
        """Return who acts, once the other central could take over."""

        def could() -> bool:
            acting = [central for central in CENTRALS if self.acts(central)]
            view = self.project.ask(acting[0], "/api/v1/cluster") if acting else None
            nodes = [] if view is None else view["nodes"]
            return [node["problem"] for node in nodes] == ["", ""]

        wait_until(could, "one central acts, the other one could")
        return next(central for central in CENTRALS if self.acts(central))

    def taken_over(self, old: str) -> None:
        """Wait until the central that is not `old` acts, and say how long nobody did."""
        (new,) = set(CENTRALS) - {old}
        wait_until(lambda: self.acts(new), f"{new} acts")
        last = self.project.ask(new, "/api/v1/cluster")["last_takeover"]
        say(f"  {new} took over: {last['reason']}; nobody acted for {last['seconds']:.2f} s")


@functools.cache
def truth(capture: Path) -> Totals:
    """Return what the launcher's own `steadflow decode` finds in a capture."""
    return decoded(run([*STEADFLOW, "decode", str(capture)]).splitlines())


def captures() -> list[Path]:
    shared = Path(os.environ.get("STEADFLOW_SHARED") or ROOT.parent / "shared")
    return [shared / "captures" / "scenarios" / f"{name}.pcap" for name in CAPTURES]


def hardened(project: Project) -> None:
    """Raise Failed where a container is not as the compose file says."""
    probe = "import os; print(os.getuid()); open('/app/new', 'w')"
    for service in ("ingest", "registry", *CENTRALS):
        try:
            project.inside(service, "python", "-c", probe)
        except Failed as error:
            if "Read-only file system" not in str(error):
                raise
        else:
            raise Failed(f"{service} can write to its root file system")
        user = project.inside(service, "id", "-u").strip()
        token = project.inside(service, "stat", "-c", "%a %u", "/run/steadflow/token").split()
        if user == "0" or token != ["600", user]:
            raise Failed(f"{service} runs as {user}, its token is {token}")
    say("  read-only, not root, the token readable by its user alone")


def single() -> None:
    """One machine: collector, both centrals and the broker killed and paused in turn."""
    with started(SINGLE, "steadflow-rehearsal") as test:
        project = test.project
        hardened(project)
        test.replay()
        test.compare()

        say("broker paused; captures spooled; collector killed; broker back, collector back")
        project.pause("kafka")
        test.replay()
        project.compose("kill", "ingest")
        project.compose("unpause", "kafka")
        test.start("ingest")
        test.compare()

        say("central-a killed under traffic")
        with test.traffic(12):
            project.compose("kill", "central-a")
        test.start("central-a")
        test.compare()

        say("central-b paused, captures; both centrals stopped, captures again")
        project.pause("central-b")
        test.replay()
        project.compose("unpause", "central-b")
        project.compose("stop", *CENTRALS)
        test.replay()
        for central in CENTRALS:
            test.start(central)
        test.compare()

        say("broker killed under traffic")
        with test.traffic(12):
            project.compose("kill", "kafka")
        test.start("kafka")
        test.compare()

        take_over(test)

        say("everything stopped in order and started again")
        project.compose("stop")
        test.up()
        test.replay()
        test.compare()


def take_over(test: Rehearsal) -> None:
    """The primary's container killed, paused and cut off in turn: the other one acts each time."""
    project = test.project

    old = test.primary()
    say(f"{old}, the primary, killed under traffic")
    with test.traffic(12):
        project.compose("kill", old)
        test.taken_over(old)
    test.start(old)
    test.compare()

    old = test.primary()
    say(f"{old}, the primary, paused under traffic")
    with test.traffic(12):
        project.pause(old)
        test.taken_over(old)
    project.compose("unpause", old)
    test.compare()

    old = test.primary()
    say(f"{old}, the primary, cut off from Kafka under traffic")
    with test.traffic(12):
        project.cut(old)
        test.taken_over(old)
        wait_until(lambda: not test.acts(old), f"{old} knows that it is no primary")
    project.mend(old)
    test.compare()


def cluster() -> None:
    """Three brokers and registries: one of each is killed under traffic, and comes back."""
    with started(CLUSTER, "steadflow-rehearsal-cluster") as test:
        project = test.project
        test.replay()
        test.compare()
        replicated(project, 3)

        for broker in ("kafka-1", "kafka-2"):
            say(f"{broker} killed under traffic, the other two go on")
            with test.traffic(15):
                project.compose("kill", broker)
            test.compare()
            replicated(project, 2)
            test.start(broker)
            replicated(project, 3)
            test.replay()
            test.compare()

        old = test.primary()
        say(f"registry-1 killed, then {old}, the primary, under traffic")
        with test.traffic(12):
            project.compose("kill", "registry-1")
            project.compose("kill", old)
            test.taken_over(old)
        test.start("registry-1")
        test.start(old)
        test.compare()


def in_sync(project: Project) -> int:
    """Return the fewest in-sync replicas of any partition of `flows`; 0 while nobody says."""
    try:
        said = project.inside(
            "kafka-3",
            *("/opt/kafka/bin/kafka-topics.sh", "--bootstrap-server", "kafka-3:9092"),
            *("--describe", "--topic", "flows"),
        )
    except Failed:
        return 0
    lines = [line.split("Isr:")[1].split()[0] for line in said.splitlines() if "Isr:" in line]
    return min((len(line.split(",")) for line in lines), default=0)


def replicated(project: Project, replicas: int) -> None:
    """Wait until every partition of `flows` has so many in-sync replicas at least."""
    wait_until(lambda: in_sync(project) == replicas, f"flows has {replicas} replicas in sync")
    say(f"  every partition of flows has {replicas} replicas in sync")


@contextlib.contextmanager
def started(file: Path, name: str) -> Iterator[Rehearsal]:
    """A project that is up; whatever happens, nothing of it stays."""
    test = Rehearsal(Project.of(file, name))
    say(f"{file.relative_to(ROOT)}: up")
    try:
        test.up()
        yield test
    except BaseException:
        # What the containers said last is gone with them.
        sys.stderr.write(test.project.compose("ps", "--all", check=False))
        sys.stderr.write(test.project.compose("logs", "--tail", "25", check=False))
        raise
    finally:
        say(f"{file.relative_to(ROOT)}: down")
        test.project.compose("unpause", check=False)
        test.project.compose("down", "--volumes", "--timeout", "30", check=False)
    label = f"label=com.docker.compose.project={name}"
    for kind in (["ps", "--all"], ["volume", "ls"], ["network", "ls"]):
        if left := run(["docker", *kind, "--quiet", "--filter", label]).split():
            raise Failed(f"left behind: {kind[0]} {left}")


def main(arguments: Sequence[str]) -> int:
    """Rehearse what is named (`single`, `cluster`), or both; the exit code."""
    parts = {"single": single, "cluster": cluster}
    unknown = set(arguments) - set(parts)
    if unknown or shutil.which("docker") is None:
        sys.stderr.write("needs docker with compose; arguments: single, cluster or none\n")
        return 2

    def ended(number: int, frame: object) -> None:
        raise Failed(f"ended by signal {number}")

    signal.signal(signal.SIGTERM, ended)
    signal.signal(signal.SIGALRM, ended)
    signal.alarm(LIMIT_S)
    begun = time.monotonic()
    try:
        for name in arguments or parts:
            parts[name]()
    except (Failed, subprocess.TimeoutExpired, KeyboardInterrupt) as error:
        say(f"FAILED after {time.monotonic() - begun:.0f} s: {str(error) or type(error).__name__}")
        return 1
    say(f"PASSED after {time.monotonic() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

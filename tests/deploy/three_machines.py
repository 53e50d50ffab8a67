"""Three machines and a collector's as containers, joined by the lines that `invite` prints."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from cli.jars import cache_directory, fetch_jars, read_lock
from tests.deploy.containers import ROOT, Failed, Project, wait_until
from tests.deploy.under_test import Rehearsal, say, started

FILE = ROOT / "deploy" / "docker-compose.machines.yml"
PLACES = {"central-a": ("one", 8470), "central-b": ("one", 8471), "central-c": ("two", 8480)}
"""Machine and port of each central on its own loopback, where reading is open."""
JOINS = {"two": "standby", "three": "witness", "site": "collector"}
APART = {"ha.log", "__transaction_state"}
ASK = (
    "import sys, urllib.request as r;"
    "a = r.build_opener(r.ProxyHandler({})).open(sys.argv[1], timeout=20);"
    "sys.stdout.write(a.read().decode())"
)


@dataclass
class Machines(Project):
    """Asked from inside, as `steadflow` does. lines: to join with, by machine, until used."""

    lines: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the compose file."""
        return {
            "STEADFLOW_UDP_ADDRESS": "127.0.0.1",
            "STEADFLOW_UDP_PORT": str(self.udp_port),
            "STEADFLOW_ONE_PORT": str(self.web_port),
            "STEADFLOW_ONE_B_PORT": str(self.web_port + 1),
            "STEADFLOW_TWO_PORT": str(self.web_port + 2),
            # What a machine would download at its first start.
            "STEADFLOW_JARS": str(cache_directory().parent),
            **{f"STEADFLOW_JOIN_{name.upper()}": line for name, line in self.lines.items()},
        }

    def ask(self, service: str, path: str, **parameters: str) -> Any:
        """Return a central's JSON, or None while it is away or not able to answer."""
        machine, port = PLACES[service]
        url = f"http://127.0.0.1:{port}{path}?{urlencode(parameters)}"
        with contextlib.suppress(Failed, ValueError):
            return json.loads(self.inside(machine, "python", "-c", ASK, url))
        return None

    def steadflow(self, machine: str, *words: str) -> str:
        """Run `steadflow ...` on a machine. Raises Failed."""
        return self.inside(machine, "steadflow", *words)


def rehearse() -> None:
    """Grow from one machine to three, then lose each: primary's, its successor's, the witness."""
    with grown("steadflow-rehearsal-machines") as test:
        for _ in range(2):
            acting = wait_whole(test)
            lose(test, PLACES[acting][0], acting)
        lose(test, "three", wait_whole(test))


@contextlib.contextmanager
def grown(name: str) -> Iterator[Rehearsal]:
    """Three machines and a collector's, joined under traffic."""
    fetch_jars(read_lock(), cache_directory())
    project = Machines.of(FILE, name)
    with started(project, "one") as test:
        grow(test, project)
        yield test


def grow(test: Rehearsal, project: Machines) -> None:
    """Join a collector, a standby and a witness, each by one line, under traffic."""
    say("opened to others; a collector joins by one line")
    project.steadflow("one", "standby", "enable", "--host", "one", "--https-port", "8443")
    join(test, project, "site")
    with test.traffic(5):
        pass
    test.compare()
    say("a standby joins by one line, then a witness, under traffic")
    with test.traffic(60):
        join(test, project, "two")
        test.centrals = tuple(PLACES)
        join(test, project, "three")
    test.compare()


def join(test: Rehearsal, project: Machines, machine: str) -> None:
    """Invite a machine and start it with the line that is printed; it is proven then."""
    role = JOINS[machine]
    line = json.loads(project.steadflow("one", role, "invite", "--json"))["line"]
    project.lines[machine] = line
    try:
        test.start(machine)
    finally:
        # Used up; from now on it starts without.
        del project.lines[machine]


def wait_whole(test: Rehearsal) -> str:
    """Return who acts, once three vote and hold all, and its machine leads nothing of note."""
    said: Mapping[str, Any] = {}

    def is_whole() -> bool:
        nonlocal said
        said = test.project.ask(acting, "/api/v1/brokers") or {}
        machines = said.get("machines", [])
        return (
            len(machines) == 3
            and said["owed"] is None
            and all(each["votes"] and each["in_sync"] == each["copies"] for each in machines)
            and not APART & set(said["led_on_the_primarys_machine"])
        )

    acting = test.primary()
    try:
        wait_until(is_whole, "three whole machines")
    except Failed as error:
        raise Failed(f"{error}: {said}") from error
    say(f"  {acting} acts; {said['survives'][0]}")
    return acting


def lose(test: Rehearsal, machine: str, acting: str) -> None:
    """Kill a machine under traffic: another central acts if it was the primary's, nobody if not."""
    gone = [central for central, (place, _) in PLACES.items() if place == machine]
    with_it = f", with {acting}, the primary" if acting in gone else ""
    say(f"{machine} killed under traffic{with_it}")
    epoch = test.epoch(acting)
    with test.traffic(20):
        test.project.compose("kill", machine)
        if acting in gone:
            test.taken_over(*gone)
    test.compare(*(central for central in PLACES if central not in gone))
    if acting not in gone:
        test.not_taken_over(acting, epoch)
    test.start(machine)
    test.compare()

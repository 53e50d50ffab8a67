"""Three machines on this one: what runs on each, how it is started and ended as a whole."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from cli import running
from services.central.brokers.growth import Wish, owed
from shared.kafka import Brokers, KafkaAway, MembershipRefused, open_membership
from shared.membership import Facts
from tests import loops
from tests.faults.places import Network, Place
from tests.faults.system import ROOT, kill, steadflow, sums_of
from tests.faults.watch import Watch
from tests.waiting import wait_until

CENTRALS = ("central-a", "central-b")
STANDBY, WITNESS, COLLECTOR = "central-c", "witness-1", "collector-2"
ASK_TIMEOUT_S = 5.0
DEADLINE_S = 300


@dataclass(slots=True)
class Machine:
    """A machine.

    name: as Kafka lists it. commands: what a person runs here again, by home. code: the folder
    whose files are run.
    """

    name: str
    place: Place
    centrals: tuple[str, ...] = ()
    commands: dict[Path, list[str]] = field(default_factory=dict)
    code: Path = ROOT

    def run(self, *words: str, check: bool = True) -> str:
        """Run one `steadflow` command here; what it printed."""
        with self.place.inside():
            return steadflow(*words, check=check, code=self.code).stdout

    def start(self) -> None:
        """Run each command; returns when all is ready."""
        for home, words in self.commands.items():
            self.run(*words, "--home", str(home), "--detach")

    def stop(self, *, check: bool = True) -> None:
        """End everything as a person would."""
        for home in reversed(self.commands):
            self.run("down", "--home", str(home), check=check)

    def kill(self, processes: Sequence[psutil.Process] | None = None) -> None:
        """Kill -9 everything; returns when all has ended. processes: all, where they are known."""
        for process in self.processes() if processes is None else processes:
            kill(process.pid)
        for home in self.commands:
            assert running.wait_released(home, 60, sleep=time.sleep), home

    def processes(self) -> list[psutil.Process]:
        """Return all that runs here, launchers first: they would tell of the others' end."""
        notes = filter(None, map(running.read, self.commands))
        found = [running.find(noted) for noted in notes]
        launchers = [process for process in found if process is not None]
        below: list[psutil.Process] = []
        for launcher in launchers:
            with contextlib.suppress(psutil.NoSuchProcess):
                below += launcher.children(recursive=True)
        return launchers + below

    def small_disks(self) -> list[Path]:
        """Return the homes that are disks of their own."""
        return [home for home in self.commands if home.is_mount()]

    def noted(self, kind: str) -> dict[str, str]:
        """Return where those of a kind answer, by name: centrals, registries, collectors."""
        notes = [running.read(home) or {} for home in self.commands]
        return {each["name"]: each["url"] for note in notes for each in note.get(kind, [])}

    def get(self, url: str) -> Any:
        """Return a JSON answer on loopback here; None without one, or when it is no."""
        answer = self._answer(url)
        return None if answer is None else answer.json()

    def text(self, url: str) -> str:
        """Return the same as text, empty without one."""
        answer = self._answer(url)
        return "" if answer is None else answer.text

    def _answer(self, url: str) -> httpx.Response | None:
        with self.place.inside():
            try:
                answer = httpx.get(url, timeout=ASK_TIMEOUT_S, trust_env=False)
            except httpx.HTTPError:
                return None
        return answer if answer.is_success else None


@dataclass(frozen=True, slots=True)
class Machines:
    """The first machine, the standby's and the witness's, which has the collector too.

    observer: a place of its own, never cut off, from where Kafka is asked by `brokers`.
    """

    network: Network
    first: Machine
    standby: Machine
    witness: Machine
    observer: Place
    brokers: Brokers

    def __iter__(self) -> Iterator[Machine]:
        return iter((self.first, self.standby, self.witness))

    def of(self, central: str) -> Machine:
        """Return where a central runs."""
        return next(machine for machine in self if central in machine.centrals)

    def registry(self, path: str) -> Any:
        """Return the JSON answer of the witness's registry."""
        (url,) = self.witness.noted("registries").values()
        return self.witness.get(url + path)

    def received(self) -> int:
        """Return how many datagrams the collector's worker has, -1 while it does not say."""
        url = self.witness.noted("collectors").get(COLLECTOR, "")
        status = self.witness.get(f"{url}/api/v1/status") if url else None
        return -1 if status is None else int(status["workers"][0]["receiver"]["datagrams"])

    def centrals(self) -> Iterator[tuple[str, Machine, str]]:
        """Each central, its machine and where it answers there."""
        for machine in self:
            for name, url in machine.noted("centrals").items():
                yield name, machine, url

    def totals(self, *names: str) -> dict[str, dict[str, int] | None]:
        """Return what each central counts, or those named; None for one that does not answer."""
        return {
            name: sums_of(machine.get(f"{url}/api/v1/totals"))
            for name, machine, url in self.centrals()
            if name in names or not names
        }

    def facts(self) -> Facts | None:
        """Return what the brokers say of themselves now; None while they are away."""

        async def look() -> Facts:
            async with open_membership(self.brokers) as membership:
                return await membership.facts()

        with self.observer.inside():
            try:
                return loops.run(look())
            except (KafkaAway, MembershipRefused):
                return None


def wait_counted(machines: Machines, sent: dict[str, int]) -> None:
    """Return once every central counts `sent`, no less and no more."""

    def counted() -> bool:
        totals = list(machines.totals().values())
        return len(totals) == 3 and all(each == sent for each in totals)

    try:
        wait_until(counted, "all three centrals count what was sent", DEADLINE_S, 0.5)
    except AssertionError as error:
        raise AssertionError(f"{error}: {machines.totals()}, sent {sent}") from error


@contextlib.contextmanager
def watching(machines: Machines) -> Iterator[Watch]:
    """Ask every central again and again whether it acts, each in its own place."""
    with Watch({}) as watch:
        for name, machine, url in machines.centrals():
            with machine.place.inside():
                watch.add(name, url)
        yield watch


def is_whole(facts: Facts | None, primary: str) -> bool:
    """Whether three live and vote, nothing is owed, and `primary`, a machine, leads nothing of it.

    By the product's own judgement of what is owed, on facts of now.
    """
    if facts is None:
        return False
    alive = {each.machine: each.number for each in facts.members if each.is_alive}
    if len(alive) != 3 or len(facts.voters) != 3 or primary not in alive:
        return False
    wish = Wish(home=alive[primary], spare=frozenset({alive[WITNESS]}))
    return owed(facts, wish) is None

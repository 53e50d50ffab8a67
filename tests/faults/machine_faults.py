"""Injects one fault into a whole machine, and waits until all three are whole again."""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from enum import StrEnum

import psutil

from cli import running
from tests.faults.disks import fill, filled, slowed
from tests.faults.growing import RATE
from tests.faults.injecting import QUIET_TICKS
from tests.faults.machines import Machine, Machines, is_whole
from tests.faults.measured import Injected
from tests.faults.on_its_way import nothing_on_its_way
from tests.faults.watch import Watch
from tests.stopping import frozen
from tests.waiting import wait_until

DEADLINE_S = 300
TAKEOVER_S = 60
EVERY_S = 0.5


class MachineKind(StrEnum):
    """What is done to everything on one machine at once.

    Killed by SIGKILL, then started by its own command; frozen by SIGSTOP, then woken; restarted by
    `steadflow down` and its command; cut off, all its connections silent, then back; its disk (of
    broker and central) filled to the last byte, then freed, or slow, then as before. Of two, those
    with a central are killed at once, and come back one after the other. All: as when a site loses
    power; the witness's machine is back first, alone.
    """

    KILL_PRIMARY = "kill-primary"
    FREEZE_PRIMARY = "freeze-primary"
    CUT_PRIMARY = "cut-primary"
    RESTART_PRIMARY = "restart-primary"
    KILL_STANDBY = "kill-standby"
    FREEZE_STANDBY = "freeze-standby"
    CUT_STANDBY = "cut-standby"
    RESTART_STANDBY = "restart-standby"
    KILL_WITNESS = "kill-witness"
    FREEZE_WITNESS = "freeze-witness"
    CUT_WITNESS = "cut-witness"
    RESTART_WITNESS = "restart-witness"
    KILL_TWO = "kill-two"
    KILL_ALL = "kill-all"
    FILL_PRIMARY = "fill-primary"
    FILL_STANDBY = "fill-standby"
    FILL_WITNESS = "fill-witness"
    SLOW_PRIMARY = "slow-primary"
    SLOW_STANDBY = "slow-standby"
    SLOW_WITNESS = "slow-witness"

    @property
    def way(self) -> str:
        """What is done."""
        return self.partition("-")[0]

    @property
    def role(self) -> str:
        """Whose machine."""
        return self.partition("-")[2]


DISKS = tuple(kind for kind in MachineKind if kind.way in ("fill", "slow"))
"""What needs disks that this user may mount."""

ORDINARY = tuple(
    kind for kind in MachineKind if kind not in DISKS and kind is not MachineKind.KILL_ALL
)
"""What is injected unless others are named; alone, a machine takes a minute to say that it is."""


@dataclass(frozen=True, slots=True)
class MachineInjector:
    """Does what a kind says, with deadlines that only a hang meets."""

    machines: Machines
    watch: Watch
    sender: int
    """Its pid: the exporter, which is no machine's."""

    def inject(self, kind: MachineKind, held_s: float) -> Injected:
        """Inject one fault; all machines are whole before and afterwards.

        held_s: so long at least it lasts.
        """
        primary = self.quiet()
        if kind is MachineKind.KILL_TWO:
            return self._kill_two(held_s)
        if kind is MachineKind.KILL_ALL:
            return self._kill_all(held_s)
        before = self._epoch()
        machine = self._machine(kind.role, primary)
        others = [name for name, on, _ in self.machines.centrals() if on is not machine]
        seen_s: float | None = None
        with self._nothing_lost(kind.way, machine):
            # To look for them takes a while that is none of the fault's.
            processes = machine.processes()
            began_s = time.monotonic()
            with self._broken(kind.way, machine, processes):
                if self._reasons(kind, machine) and kind.way != "fill":
                    yes = self.watch.wait_for(*others, after_s=began_s, deadline_s=TAKEOVER_S)
                    seen_s = yes.answered_s - began_s
                if machine is not self.machines.witness:
                    self._wait_counting(others)
                # Not by ticks: what is broken may be what makes them.
                while (left_s := began_s + held_s - time.monotonic()) > 0:
                    time.sleep(min(EVERY_S, left_s))
                    if kind.way == "fill":
                        # What somebody gave back meanwhile is taken, too.
                        for disk in machine.small_disks():
                            fill(disk)
        self.quiet()
        self._wait_ticks(QUIET_TICKS)
        self.quiet()
        return Injected(kind, before, self._epoch(), seen_s, self._reasons(kind, machine))

    def _kill_two(self, held_s: float) -> Injected:
        """Nobody acts then, and the third one collects; with either back all is caught up."""
        before, received = self._epoch(), self.machines.received()
        gone = [machine for machine in self.machines if machine.centrals]
        for machine in gone:
            machine.kill()
        self._wait_collecting(received)
        time.sleep(held_s)
        # The first machine comes last: the other one has to find Kafka by what it has noted.
        for machine in reversed(gone):
            began_s = time.monotonic()
            machine.start()
            self.watch.wait_for(*gone[-1].centrals, after_s=began_s, deadline_s=DEADLINE_S)
            self._wait_counting(machine.centrals)
        self.quiet()
        return Injected(MachineKind.KILL_TWO, before, self._epoch(), reasons=1)

    def _kill_all(self, held_s: float) -> Injected:
        """The first one back collects, alone, and its launchers stay until the others are there."""
        before, witness = self._epoch(), self.machines.witness
        gone = [machine for machine in self.machines if machine is not witness]
        with nothing_on_its_way(self.sender, self.machines.received):
            for machine in self.machines:
                machine.kill()
            witness.start()
        waits = [str((running.read(home) or {}).get("waits")) for home in witness.commands]
        assert any("Kafka waits for another machine" in each for each in waits), waits
        self._wait_collecting(self.machines.received())
        time.sleep(held_s)
        # Of two Kafka may not know whether they hold the newest: it leads what all three led.
        for machine in reversed(gone):
            machine.start()
        self.quiet()
        self._wait_counting([name for machine in gone for name in machine.centrals])
        return Injected(MachineKind.KILL_ALL, before, self._epoch(), reasons=1)

    def _wait_collecting(self, received: int) -> None:
        wait_until(
            lambda: self.machines.received() > received + 3,
            "what is sent is collected", DEADLINE_S, EVERY_S,
        )  # fmt: skip

    def quiet(self) -> str:
        """Return who acts, once one alone does, all others could, and all machines are whole."""

        def found() -> bool:
            actors = self.watch.actors()
            names = {name for name, *_ in self.machines.centrals()}
            if len(names) != 3 or len(actors) != 1:
                return False
            answer = self.machines.registry("/standby") or {"nodes": []}
            if {each["name"] for each in answer["nodes"]} != names - set(actors):
                return False
            return is_whole(self.machines.facts(), self.machines.of(actors[0]).name)

        try:
            wait_until(found, "one acts, all others could, three are whole", DEADLINE_S, EVERY_S)
        except AssertionError as error:
            said = f"{self.watch.actors()} act; {self.machines.registry('/standby')} could"
            raise AssertionError(f"{error}: {said}; {self.machines.facts()}") from error
        return self.watch.wait_for_one(deadline_s=TAKEOVER_S)

    def _wait_counting(self, centrals: Sequence[str]) -> None:
        """Return once these count more: what is sent comes in, though a machine is gone."""

        def counted() -> dict[str, int]:
            found = self.machines.totals(*centrals)
            return {name: each["flows"] for name, each in found.items() if each is not None}

        wait_until(lambda: len(counted()) == len(centrals), "they answer", DEADLINE_S, EVERY_S)
        # What was in Kafka already is no sign.
        wanted = {name: flows + 3 * RATE for name, flows in counted().items()}
        wait_until(
            lambda: all(counted().get(name, 0) > wanted[name] for name in centrals),
            f"{', '.join(centrals)} go on counting", DEADLINE_S, EVERY_S,
        )  # fmt: skip

    def _machine(self, role: str, primary: str) -> Machine:
        ours = self.machines.of(primary)
        if role == "witness":
            return self.machines.witness
        if role == "primary":
            return ours
        return next(each for each in self.machines if each.centrals and each is not ours)

    @contextmanager
    def _broken(
        self, way: str, machine: Machine, processes: Sequence[psutil.Process]
    ) -> Iterator[None]:
        match way:
            case "freeze":
                with frozen([process.pid for process in processes]):
                    yield
            case "cut":
                with self.machines.network.cut_off(machine.place):
                    yield
            case "fill":
                with ExitStack() as stack:
                    for disk in machine.small_disks():
                        stack.enter_context(filled(disk))
                    yield
            case "slow":
                with ExitStack() as stack:
                    for disk in machine.small_disks():
                        stack.enter_context(slowed(disk))
                    yield
            case "kill":
                machine.kill(processes)
                yield
                machine.start()
            case _:
                machine.stop()
                yield
                machine.start()

    def _nothing_lost(self, way: str, machine: Machine) -> AbstractContextManager[None]:
        """While there is no collector, what an exporter sends is lost, and nobody can know it."""
        if machine is self.machines.witness and way in ("kill", "restart"):
            return nothing_on_its_way(self.sender, self.machines.received)
        return nullcontext()

    def _reasons(self, kind: MachineKind, machine: Machine) -> int:
        """Return how many takeovers a kind gives a reason for.

        A machine that stops cleanly ends one of its centrals after the other, and so may a full
        disk.
        """
        if kind.role != "primary" or kind.way == "slow":
            return 0
        return len(machine.centrals) if kind.way in ("restart", "fill") else 1

    def _epoch(self) -> int:
        return int(self.machines.registry("/api/v1/cluster")["epoch"])

    def _ticks(self) -> float:
        (url,) = self.machines.witness.noted("registries").values()
        page = self.machines.witness.text(f"{url}/metrics")
        found = re.search(r"^steadflow_registry_valid_ticks (\S+)", page, re.MULTILINE)
        return -1.0 if found is None else float(found[1])

    def _wait_ticks(self, count: int) -> None:
        wait_until(lambda: self._ticks() >= 0, "the registry answers", DEADLINE_S)
        before = self._ticks()
        wait_until(lambda: self._ticks() >= before + count, f"{count} more ticks", DEADLINE_S)

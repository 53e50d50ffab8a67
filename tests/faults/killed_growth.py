"""Machines join, are replaced and leave under load; each step is killed at a random moment.

By `make growth`, and no part of `make test`: a round takes minutes.
"""

import contextlib
import os
import random
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from cli import running
from shared.membership import Facts
from tests.faults.checker import problems
from tests.faults.growing import (
    collecting,
    first_machine,
    invited_standby,
    invited_witness,
)
from tests.faults.machines import CENTRALS, WITNESS, Machine, Machines, is_whole
from tests.faults.recorder import recording_from
from tests.faults.system import STEADFLOW, kill, stop_sending
from tests.waiting import wait_until

RUNS = int(os.environ.get("STEADFLOW_GROWTH_RUNS", "1"))
DEADLINE_S = 300
JOIN_S = 40.0
"""A join takes about so long, killed or not; it is killed anywhere in it, and a little later."""
STEPS_S = 10.0
"""About so long the primary moves copies and votes."""


@pytest.mark.kafka
@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(1200 + 1200 * RUNS)
def test_killed_at_any_moment_machines_join_are_replaced_and_leave(tmp_path: Path) -> None:
    seed = int(os.environ.get("STEADFLOW_GROWTH_SEED", secrets.randbits(32)))
    print(f"\ngrowth: {RUNS} rounds, STEADFLOW_GROWTH_SEED={seed}")
    rng = random.Random(seed)
    with (
        first_machine(tmp_path) as machines,
        recording_from(machines.observer, machines.brokers) as recorder,
        collecting(machines, tmp_path) as sending,
    ):
        growth = KilledGrowth(machines, rng)
        for number in range(1, RUNS + 1):
            folder = tmp_path / str(number)
            for step in (growth.grow, growth.replace_standby, growth.shrink):
                began_s = time.monotonic()
                step(folder)
                took_s = time.monotonic() - began_s
                print(f"  round {number}/{RUNS}: {step.__name__} {took_s:.0f} s", flush=True)
        sent = stop_sending(sending)
        wait_until(
            lambda: machines.totals() == dict.fromkeys(CENTRALS, sent),
            "both centrals count what was sent", DEADLINE_S, 0.5,
        )  # fmt: skip
        with machines.observer.inside():
            recorder.end()
            assert problems(recorder.recorded([])) == []


@dataclass(frozen=True, slots=True)
class KilledGrowth:
    """Each step begins and ends with the first machine's central in the role."""

    machines: Machines
    rng: random.Random

    def grow(self, folder: Path) -> None:
        """Both others join, each killed meanwhile, then the central that gives copies and votes."""
        self._join(self.machines.standby, *invited_standby(self.machines, folder / "two"))
        self._join(self.machines.witness, *invited_witness(self.machines, folder / "three"))
        self._kill_primary_within(STEPS_S)
        self._wait_whole()

    def replace_standby(self, folder: Path) -> None:
        """The standby's machine is gone for ever; another one joins in its name or its place."""
        standby = self.machines.standby
        gone, number = standby.name, self._machines()[standby.name]
        standby.kill()
        (home,) = standby.commands
        self._forget(home, standby)
        again = folder / "two again"
        if self.rng.random() < 0.5:
            # While it votes no other disk may come under its name.
            self._until(
                lambda: self._ask("standby", "remove", gone),
                lambda: self._is_forgotten(number),
            )
            self._join(standby, *invited_standby(self.machines, again))
        else:
            standby.name = f"central-{folder.name}"
            standby.centrals = (standby.name,)
            home, words, token = invited_standby(self.machines, again)
            wait_until(lambda: self._is_silent(gone), f"{gone} is silent", DEADLINE_S)
            print(f"  {standby.name} joins in the place of {gone}", flush=True)
            self._join(standby, home, [*words, "--replace", gone, "--yes"], token)
        self._kill_primary_within(STEPS_S)
        self._wait_whole()

    def shrink(self, folder: Path) -> None:
        """Both others leave, the primary's central killed meanwhile each time."""
        first, second = self.rng.sample([self._witness_leaves, self._standby_leaves], 2)
        first(folder)
        second(folder)
        self._until(self._switch_home, lambda: list(self._machines()) == [self.machines.first.name])

    def _witness_leaves(self, folder: Path) -> None:
        witness = self.machines.witness
        (home,) = (home for home in witness.commands if home.parent == folder)
        self._ask("witness", "remove", WITNESS, "--yes")
        self._kill_primary_within(STEPS_S)
        self._until(
            lambda: self._ask("witness", "remove", WITNESS, "--yes"),
            lambda: not self._holds(WITNESS),
        )
        witness.run("down", "--home", str(home))
        self._forget(home, witness)
        self._until(
            lambda: self._ask("witness", "remove", WITNESS, "--yes"),
            lambda: WITNESS not in self._machines(),
        )

    def _standby_leaves(self, _folder: Path) -> None:
        standby = self.machines.standby
        (home,) = standby.commands
        # It gives its vote back before it stops, where it has one.
        words = ("standby", "leave", "--home", str(home), "--remove-data")
        with standby.place.inside():
            leaving = subprocess.Popen(
                [*STEADFLOW, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        held_s = self.rng.uniform(0.0, STEPS_S)
        with contextlib.suppress(subprocess.TimeoutExpired):
            leaving.wait(held_s)
        kill(leaving.pid)
        leaving.wait()
        print(f"  standby leave killed after {held_s:.1f} s", flush=True)
        if home.exists():
            standby.run(*words)
        self._forget(home, standby)
        self._kill_primary_within(STEPS_S)
        self._until(
            lambda: self._ask("standby", "remove", standby.name),
            lambda: standby.name not in self._machines(),
        )

    def _join(self, machine: Machine, home: Path, words: list[str], token: str) -> None:
        """Run the line, kill all that it began at a random moment, run it again."""
        line = [*words, "--token", token, "--home", str(home), "--detach"]
        machine.commands[home] = words
        before = {process.pid for process in machine.processes()}
        with machine.place.inside():
            joining = subprocess.Popen(
                [*STEADFLOW, *line], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        held_s = self.rng.uniform(0.0, JOIN_S)
        time.sleep(held_s)
        below = psutil.Process(joining.pid).children(recursive=True)
        began = {each.pid: each for each in (*below, *machine.processes())}
        for pid in [joining.pid, *(pid for pid in began if pid not in before)]:
            kill(pid)
        joining.wait()
        assert running.wait_released(home, 60, sleep=time.sleep), home
        print(f"  {words[0]} join killed after {held_s:.1f} s", flush=True)
        machine.run(*line)

    def _kill_primary_within(self, most_s: float) -> None:
        """Kill the central that moves copies and votes; then the role is the first machine's."""
        time.sleep(self.rng.uniform(0.0, most_s))
        primary = self._primary()
        if primary is not None:
            kill(self._pid(primary), signal.SIGKILL)
        self._until(self._switch_home, lambda: self._primary() in CENTRALS)

    def _switch_home(self) -> None:
        if self._primary() not in CENTRALS:
            self._ask("switchover", CENTRALS[0])

    def _primary(self) -> str | None:
        for name, machine, url in self.machines.centrals():
            if machine.get(f"{url}/primary") is not None:
                return name
        return None

    def _pid(self, central: str) -> int:
        (home,) = self.machines.of(central).commands
        noted = running.read(home) or {"centrals": []}
        return next(int(each["pid"] or 0) for each in noted["centrals"] if each["name"] == central)

    def _ask(self, *words: str) -> None:
        """Ask on the first machine; a no is none for ever."""
        (home,) = self.machines.first.commands
        self.machines.first.run(*words, "--home", str(home), check=False)

    def _until(self, ask: Callable[[], None], holds: Callable[[], bool]) -> None:
        """Ask again and again: nobody may act to hear it."""
        end_s = time.monotonic() + DEADLINE_S
        while not holds():
            assert time.monotonic() < end_s, self.machines.facts()
            ask()
            try:
                wait_until(holds, "", 15, 0.5)
            except AssertionError:
                continue

    def _forget(self, home: Path, machine: Machine) -> None:
        del machine.commands[home]
        shutil.rmtree(home, ignore_errors=True)

    def _facts(self) -> Facts | None:
        return self.machines.facts()

    def _machines(self) -> dict[str, int]:
        """Return the numbers of Kafka's machines; one without a name while that is not known."""
        facts = self._facts()
        return {"": 0} if facts is None else {each.machine: each.number for each in facts.members}

    def _is_forgotten(self, number: int) -> bool:
        """Whether nobody of that number is a broker or votes; not while that is not known."""
        facts = self._facts()
        return facts is not None and number not in {
            *facts.voters, *(each.number for each in facts.members)
        }  # fmt: skip

    def _is_silent(self, central: str) -> bool:
        """Whether neither the central nor the broker of its machine is heard."""
        (url,) = (url for name, _, url in self.machines.centrals() if name == CENTRALS[0])
        told = self.machines.first.get(f"{url}/api/v1/cluster") or {"nodes": []}
        roles = [each["role"] for each in told["nodes"] if each["name"] == central]
        facts = self._facts()
        alive = () if facts is None else [each.machine for each in facts.members if each.is_alive]
        return roles in ([], ["dead"]) and facts is not None and central not in alive

    def _holds(self, machine: str) -> bool:
        """Whether it votes or has a copy, or that is not known."""
        facts = self._facts()
        if facts is None:
            return True
        number = next((each.number for each in facts.members if each.machine == machine), 0)
        return number in facts.voters or any(number in each.replicas for each in facts.copies)

    def _wait_whole(self) -> None:
        name = self.machines.first.name
        try:
            wait_until(lambda: is_whole(self._facts(), name), "three are whole", DEADLINE_S, 1.0)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self._facts()}") from error

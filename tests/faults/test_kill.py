"""`kill -9` of anything, any number of times, changes no count and no sum in any table."""

import os
import random
import secrets
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from tests.faults.books import check_books, flows_of, settle
from tests.faults.system import System, kill, running, traffic
from tests.waiting import wait_until

TABLE = os.environ.get("STEADFLOW_KILL_TABLE")
RUNS = int(os.environ.get("STEADFLOW_KILL_RUNS", "3"))
WORKERS = (1, 3) if "STEADFLOW_KILL_RUNS" in os.environ else (3,)
"""With one worker every process is killed by `test_faults.py` too, to the same books."""
VICTIMS = ("holder", "receiver", "decoder", "central-a", "central-b", "broker")
DEADLINE_S = 180


@pytest.mark.kafka
@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.parametrize("workers", WORKERS)
def test_both_stores_hold_what_the_spool_accepted(tmp_path: Path, workers: int) -> None:
    seed = int(os.environ.get("STEADFLOW_SEED", secrets.randbits(32)))
    print(f"\nkill test: {workers} workers, {RUNS} kills, STEADFLOW_SEED={seed}")
    rng = random.Random(seed)
    killed: Counter[str] = Counter()
    with running(tmp_path / "home", workers=workers) as system:
        with traffic(
            system, "--rate", "2000", "--duration", "0", "--exporters", "12",
            "--templates", "once", "--seed", str(seed % 1000),
        ):  # fmt: skip
            wait_until(lambda: all(flows_of(system)), "first flows in both centrals", DEADLINE_S)
            for number in range(RUNS):
                killed.update(kill_some(system, rng, number))
        settle(system)
        rows, minutes = check_books(system, tmp_path, workers)
    print(f"  {rows} rows in the spool and in both stores, {minutes} markers equal")
    if TABLE:
        note(Path(TABLE), [workers, seed, RUNS, *(killed[v] for v in VICTIMS), rows, minutes])


def kill_some(system: System, rng: random.Random, number: int) -> list[str]:
    """Kill one process, or two at once; let the system run a random while; say which."""
    victims = rng.sample(VICTIMS, rng.choice((1, 1, 2)))
    for victim in victims:
        wait_until(partial(lives, system, victim), f"{victim} lives", DEADLINE_S)
        pid = rng.choice(system.processes()[victim])
        killed = kill(pid)
        print(f"  kill {number + 1}/{RUNS}: {victim} pid {pid}" + ("" if killed else " (gone)"))
    time.sleep(rng.uniform(0.2, 6.0))
    return victims


def lives(system: System, role: str) -> bool:
    """Whether there is a process of that role."""
    return any(system.processes().get(role, []))


def note(table: Path, cells: list[int]) -> None:
    """Append a row to the table of runs, under its head where there is none yet."""
    if not table.exists():
        names = ["workers", "seed", "rounds", *VICTIMS, "rows in each store", "markers in each"]
        table.write_text(f"| {' | '.join(names)} |\n|{' ---: |' * len(names)}\n")
    with table.open("a") as file:
        file.write(f"| {' | '.join(map(str, cells))} |\n")

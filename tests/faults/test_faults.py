"""Faults of every kind, drawn by seed, on one running system; then its whole run is read."""

import os
import random
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.kafka import Brokers
from tests.faults.books import check_books, settle
from tests.faults.checker import accepted_claims, problems, took_s
from tests.faults.cluster import CENTRALS, cluster_of
from tests.faults.drawn import Kind, draw, kinds_of
from tests.faults.injecting import Injector
from tests.faults.measured import Injected, table, without_reason
from tests.faults.recorder import Recorder, recording
from tests.faults.system import running, traffic
from tests.faults.watch import Watch

TABLE = os.environ.get("STEADFLOW_FAULT_TABLE")
KINDS = kinds_of(os.environ.get("STEADFLOW_FAULT_KINDS", "").split(","), Kind)
RUNS = int(os.environ.get("STEADFLOW_FAULT_RUNS", -(-len(KINDS) // 3)))
"""A third of the kinds, others each time, where nobody asks for more."""


@pytest.mark.kafka
@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(600 + 120 * RUNS)
def test_whatever_fails_one_acts_and_every_flow_is_counted_once(tmp_path: Path) -> None:
    seed = int(os.environ.get("STEADFLOW_FAULT_SEED", secrets.randbits(32)))
    print(f"\nfaults: {RUNS} of {len(KINDS)} kinds, STEADFLOW_FAULT_SEED={seed}")
    with (
        running(tmp_path / "home") as system,
        traffic(system, "--rate", "200", "--duration", "0", "--templates", "once") as sending,
        cluster_of(system, sending) as cluster,
        recording(Brokers(system.status()["broker"]["bootstrap_servers"])) as recorder,
        Watch({central: cluster.url(central) for central in CENTRALS}) as watch,
    ):
        injector = Injector(cluster, watch)
        faults = list(inject_all(injector, random.Random(seed)))
        cluster.wait_counted(cluster.stop_sending())
        settle(system)
        found = read_run(recorder, watch, faults)
        rows, _ = check_books(system, tmp_path, workers=1)
    assert found == []
    print(f"  {rows} rows in the spool and in both stores")


def inject_all(injector: Injector, rng: random.Random) -> Iterator[Injected]:
    for number, kind in enumerate(draw(RUNS, rng, KINDS), 1):
        fault = injector.inject(kind)
        seen = "" if fault.seen_s is None else f": another one acts after {fault.seen_s:.2f} s"
        print(f"  fault {number}/{RUNS}: {kind}{seen}", flush=True)
        yield fault


def read_run(recorder: Recorder, watch: Watch, faults: list[Injected]) -> list[str]:
    """Write the table; return what is wrong."""
    recorder.end()
    run = recorder.recorded(list(watch.sightings))
    if TABLE:
        Path(TABLE).write_text(table(faults, took_s(run.history), Kind))
    return [*problems(run), *without_reason(faults, accepted_claims(run.log))]

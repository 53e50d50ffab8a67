"""From one machine to three under load; then whole machines fail, broker and all, drawn by seed.

`make test` has the primary's machine killed once, `make machines` many of all kinds.
"""

import os
import random
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.checker import accepted_claims, problems, took_s
from tests.faults.drawn import draw, kinds_of
from tests.faults.growing import collecting, first_machine, grow
from tests.faults.machine_faults import DISKS, ORDINARY, MachineInjector, MachineKind
from tests.faults.machines import wait_counted, watching
from tests.faults.measured import Injected, table, without_reason
from tests.faults.recorder import Recorder, recording_from
from tests.faults.system import stop_sending
from tests.faults.watch import Watch

TABLE = os.environ.get("STEADFLOW_MACHINES_TABLE")
RUNS = int(os.environ.get("STEADFLOW_MACHINES_RUNS", "1"))
FAR_MS = float(os.environ.get("STEADFLOW_MACHINES_FAR_MS") or 0)
KINDS = kinds_of(
    (os.environ.get("STEADFLOW_MACHINES_KINDS") or ",".join(ORDINARY)).split(","), MachineKind
)
HELD_S = (4.0, 8.0)
"""More than the lease, and than Kafka waits for a broker; sockets hold what is sent meanwhile."""


@pytest.mark.kafka
@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(1200 + 300 * RUNS)
def test_any_one_of_three_machines_may_fail_and_every_flow_is_counted_once(tmp_path: Path) -> None:
    seed = int(os.environ.get("STEADFLOW_MACHINES_SEED", secrets.randbits(32)))
    print(f"\nmachines: {RUNS} of {len(KINDS)} kinds, STEADFLOW_MACHINES_SEED={seed}")
    with (
        first_machine(
            tmp_path, small_disks=any(kind in DISKS for kind in KINDS), far_ms=FAR_MS
        ) as machines,
        recording_from(machines.observer, machines.brokers) as recorder,
        collecting(machines, tmp_path) as sending,
    ):
        grow(machines, tmp_path)
        with watching(machines) as watch:
            injector = MachineInjector(machines, watch, sending.pid)
            faults = list(inject_all(injector, random.Random(seed)))
            injector.quiet()
        wait_counted(machines, stop_sending(sending))
        with machines.observer.inside():
            assert read_run(recorder, watch, faults) == []


def inject_all(injector: MachineInjector, rng: random.Random) -> Iterator[Injected]:
    machines = injector.machines
    kinds = tuple(
        kind
        for kind in KINDS
        if (machines.network.can_cut or kind.way != "cut")
        and (all(machine.small_disks() for machine in machines) or kind not in DISKS)
    )
    drawn = draw(RUNS, rng, kinds)
    if set(kinds) > set(drawn) and MachineKind.KILL_PRIMARY in kinds:
        # Too few for every kind: the worst of them is always there.
        worst = MachineKind.KILL_PRIMARY
        drawn = [worst, *(kind for kind in drawn if kind is not worst)][:RUNS]
    for number, kind in enumerate(drawn, 1):
        began_s = time.monotonic()
        fault = injector.inject(kind, rng.uniform(*HELD_S))
        seen = "" if fault.seen_s is None else f": another one acts after {fault.seen_s:.2f} s"
        whole_s = time.monotonic() - began_s
        print(f"  fault {number}/{len(drawn)}: {kind}{seen}; whole in {whole_s:.0f} s", flush=True)
        yield fault


def read_run(recorder: Recorder, watch: Watch, faults: list[Injected]) -> list[str]:
    """Write the table; return what is wrong."""
    recorder.end()
    run = recorder.recorded(list(watch.sightings))
    if TABLE:
        Path(TABLE).write_text(table(faults, took_s(run.history), MachineKind))
    return [*problems(run), *without_reason(faults, accepted_claims(run.log))]

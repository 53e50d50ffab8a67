"""Three machines of an earlier release, each in turn stopped and started by this one, under load.

By `make upgrade`, and no part of `make test`: machines grow first.
"""

import time
from pathlib import Path

import pytest

from tests.faults.checker import accepted_claims, problems
from tests.faults.earlier_release import COMMIT, earlier_release
from tests.faults.growing import collecting, first_machine, grow
from tests.faults.machine_faults import MachineInjector
from tests.faults.machines import CENTRALS, STANDBY, Machine, Machines, wait_counted, watching
from tests.faults.on_its_way import nothing_on_its_way
from tests.faults.recorder import recording_from
from tests.faults.system import ROOT, stop_sending
from tests.waiting import wait_until

DEADLINE_S = 300
ASKED_FOR = {"start", "switchover", "handover was not answered"}


@pytest.mark.kafka
@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_each_machine_in_turn_gets_the_next_release(tmp_path: Path) -> None:
    earlier = earlier_release(tmp_path / "earlier")
    print(f"\nupgrade: from {COMMIT}")
    with (
        first_machine(tmp_path, code=earlier) as machines,
        recording_from(machines.observer, machines.brokers) as recorder,
        collecting(machines, tmp_path) as sending,
    ):
        grow(machines, tmp_path)
        with watching(machines) as watch:
            injector = MachineInjector(machines, watch, sending.pid)
            injector.quiet()
            upgrade(machines.standby)
            injector.quiet()
            switch_over(machines, injector, STANDBY)
            upgrade(machines.first)
            injector.quiet()
            switch_over(machines, injector, CENTRALS[0])
            with nothing_on_its_way(sending.pid, machines.received):
                upgrade(machines.witness)
            injector.quiet()
            for machine in machines:
                assert runs(machine, ROOT), machine.name
                assert not runs(machine, earlier), machine.name
        wait_counted(machines, stop_sending(sending))
        with machines.observer.inside():
            recorder.end()
            run = recorder.recorded(list(watch.sightings))
    assert problems(run) == []
    # No restart cost anybody the role.
    assert {claim.reason for claim in accepted_claims(run.log).values()} <= ASKED_FOR


def upgrade(machine: Machine) -> None:
    """Stop it, and run the same commands by this release."""
    began_s = time.monotonic()
    machine.stop()
    machine.code = ROOT
    machine.start()
    print(f"  {machine.name} upgraded in {time.monotonic() - began_s:.0f} s", flush=True)


def switch_over(machines: Machines, injector: MachineInjector, to: str) -> None:
    """Make `to` the primary by the command of a person, who asks again when it is refused."""
    (home,) = machines.first.commands

    def has_role() -> bool:
        machines.first.run("switchover", to, "--home", str(home), check=False)
        return injector.quiet() == to

    wait_until(has_role, f"{to} takes the role", DEADLINE_S)


def runs(machine: Machine, code: Path) -> bool:
    """Whether anything there runs files of that folder."""
    places = (each.environ().get("PYTHONPATH", "") for each in machine.processes())
    return any(str(code) in place.split(":") for place in places)

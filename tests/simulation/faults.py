"""What goes wrong in a world, drawn by its seed."""

import random
from collections.abc import Callable

from shared.roles.records import DeathNotice, SwitchoverRequest
from tests.simulation.central import Central
from tests.simulation.centrals import Centrals
from tests.simulation.flows import Collector, Collectors
from tests.simulation.network import FAULTS_END_MS, LOSSY_UNTIL_MS, Network, Process
from tests.simulation.registries import Registries, Registry
from tests.simulation.roles_log import RolesLog

BEGIN_MS = 800
LENGTHS_MS = (200, 800, 2_000, 4_000, 7_000)
CLOCK_STEPS_MS = (-3_600_000, -300, 300, 3_600_000)


class Faults:
    """One to five, each on a process or the broker; most on centrals."""

    def __init__(
        self,
        network: Network,
        rng: random.Random,
        log: RolesLog,
        registries: Registries,
        centrals: Centrals,
        collectors: Collectors,
    ) -> None:
        self._network = network
        self._rng = rng
        self._log = log
        self._registries = registries
        self._centrals = centrals
        self._collectors = collectors
        for _ in range(rng.randrange(1, 6)):
            network.at(rng.randrange(BEGIN_MS, LOSSY_UNTIL_MS - 500), self._draw)

    def _draw(self) -> None:
        rng, network = self._rng, self._network
        processes: list[Process] = [*self._centrals.all, *self._centrals.all, *self._registries.all]
        process = rng.choice([*processes, *self._collectors.all])
        length_ms = rng.choice(LENGTHS_MS)
        until_ms = network.lasts(min(network.now_ms + length_ms, FAULTS_END_MS))
        match rng.randrange(9):
            case 0 | 1:
                self._kill(process, rng.choice((50, 500, rng.randrange(50, 2_500))))
            case 2:
                process.pause(until_ms)
            case 3:
                process.mute_until_ms = until_ms
            case 4:
                process.deafen(until_ms)
            case 5:
                process.hang(until_ms)
            case 6:
                network.freeze(until_ms)
            case 7:
                if network.step_ms == 0:
                    network.step_ms = rng.choice(CLOCK_STEPS_MS)
            case _:
                to = rng.choice(["", rng.choice(self._centrals.all).name])
                network.arrive(self._log.append, SwitchoverRequest(to, "person"))

    def _kill(self, process: Process, down_ms: int) -> None:
        if not process.alive:
            return
        process.alive = False
        network = self._network
        if isinstance(process, Central):
            self._centrals.killed(process)
            if self._rng.random() < 0.6:
                notice = DeathNotice(process.acting.incarnation, "supervisor")
                network.at(network.draw(5, 60), network.arrive, self._log.append, notice)
        network.lasts(network.now_ms + down_ms)
        network.at(down_ms, self._restart, process)

    def _restart(self, process: Process) -> None:
        process.alive = True
        if isinstance(process, Central):
            self._centrals.restarted(process)
            return
        process.life += 1
        if isinstance(process, Registry):
            self._registries.restarted(process)
        elif isinstance(process, Collector):
            self._collectors.restarted(process)


def hang_primary(log: RolesLog, centrals: Centrals, until_ms: int) -> Callable[[], None]:
    """Return what lets the reader of the primary hang."""

    def hang() -> None:
        for central in centrals.all:
            if central.acting.incarnation == log.state.holder:
                central.hang(until_ms)

    return hang

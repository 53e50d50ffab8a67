"""Registries of the world: they tick and propose."""

from dataclasses import dataclass

from shared.roles.fold import START, RolesState
from shared.roles.policy import propose
from shared.roles.records import Tick
from tests.simulation.network import Network, Process
from tests.simulation.roles_log import PERIOD_MS, RolesLog


@dataclass(slots=True, eq=False)
class Registry(Process):
    """roles: the fold as far as it was read. proposed_for: ticks there were then."""

    roles: RolesState = START
    proposed_for: int = -1
    is_reading: bool = False


class Registries:
    def __init__(self, network: Network, log: RolesLog, count: int) -> None:
        self.all = [Registry(f"r{number}") for number in range(count)]
        self._network = network
        self._log = log
        self._is_wanted = False
        for registry in self.all:
            network.at(network.draw(0, PERIOD_MS), self._tick, registry)

    def look(self) -> None:
        """Let them read soon if there is something to propose: else they read when they tick."""
        if self._log.concerns[-1] and not self._is_wanted:
            # A heartbeat alone lets nobody be replaced.
            return
        self._is_wanted = propose(self._log.state, by="") is not None
        if self._is_wanted:
            for registry in self.all:
                if not registry.is_reading and registry.alive:
                    registry.is_reading = True
                    self._network.at(self._network.draw(1, 10), self._read, registry, registry.life)

    def restarted(self, registry: Registry) -> None:
        registry.is_reading = False
        self.look()

    def _tick(self, registry: Registry) -> None:
        """Sleep P after each tick, and skip one's own when somebody else's was just seen."""
        network = self._network
        network.at(PERIOD_MS + int(network.random() * 8), self._tick, registry)
        if not registry.alive or network.now_ms < registry.paused_until_ms:
            return
        if network.can_read(registry):
            registry.roles = self._log.state
        seen_ms = network.broker_ms - (registry.roles.last_tick_ms or 0)
        if not 0 <= seen_ms < PERIOD_MS * 0.9:
            network.reaches(registry, self._log.append, Tick(registry.name), repeats=True)

    def _read(self, registry: Registry, life: int) -> None:
        if registry.life != life:
            return
        network = self._network
        if not network.can_read(registry):
            network.at(network.sees_again_in_ms(registry), self._read, registry, life)
            return
        registry.is_reading = False
        registry.roles = self._log.state
        claim = propose(registry.roles, by=registry.name)
        if claim is not None and registry.proposed_for != registry.roles.ticks:
            registry.proposed_for = registry.roles.ticks
            network.reaches(registry, self._log.append, claim)

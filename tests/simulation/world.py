"""Registries, centrals and collectors on a broker in memory, with every fault that a seed draws.

One `World` is one schedule. What the broker accepts is judged as it happens; `Violation` names what
was broken. Safeguards can be taken away, to see that this is found.
"""

import random
from collections.abc import Collection
from typing import Any

from shared.testing.memory_broker import MemoryBroker
from tests.simulation.central import Central
from tests.simulation.centrals import Centrals
from tests.simulation.committed import Committed, Violation
from tests.simulation.effects import ITEM_MS
from tests.simulation.faults import Faults, hang_primary
from tests.simulation.flows import Collectors
from tests.simulation.network import Network
from tests.simulation.registries import Registries
from tests.simulation.roles_log import RolesLog, configuration

SAFEGUARDS = frozenset(
    {
        "acknowledged ticks",
        "barrier",
        "epoch check",
        "fence",
        "incarnations",
        "lease",
        "outbox",
        "trimming",
        "valid ticks",
    }
)
DEAD_TICKS = (4, 7, 7)
BOUND_MS = 8_000
"""So long after the last fault somebody acts again, and nothing is owed any more."""
SETTLED_MS = 700
"""What was on its way when the last fault ended has arrived by then."""


def schedule(seed: int, *without: str, **more: Any) -> "World":
    """Return the world of a seed: two or three centrals, one or three registries."""
    return World(
        seed,
        centrals=2 + seed % 2,
        registries=1 + 2 * (seed % 3 > 0),
        without=without,
        **more,  # keywords of World
    )


class World:
    """One schedule of faults, run by `run` until it is calm and nothing is owed any more."""

    def __init__(
        self,
        seed: int,
        *,
        centrals: int = 2,
        registries: int = 3,
        without: Collection[str] = (),
        faults: bool = True,
        hang_at_ms: int | None = None,
        silent_ms_max: int | None = None,
        judges_log: bool = True,
        reads_all: bool = False,
    ) -> None:
        """without: safeguards to take away. faults: draw some.

        hang_at_ms: from then on the primary's reader hangs. silent_ms_max: nobody may act for so
        long at most, from the first effect on. judges_log: False judges but what readers accept.
        reads_all: no central leaves out records that can change nothing for it.
        """
        assert set(without) <= SAFEGUARDS
        rng = random.Random(seed)
        broker = MemoryBroker(fences="fence" not in without)
        network = self.network = Network(rng, broker, has_faults=faults)
        self.log = RolesLog(broker, without, self._appended)
        self.committed = Committed(broker, without, judges_log=judges_log)
        self.registries = Registries(network, self.log, registries)
        self.collectors = Collectors(network, self.committed, without, count=1 + seed % 2)
        self.centrals = Centrals(
            network,
            self.log,
            self.committed,
            self.collectors,
            without,
            count=centrals,
            reads_all=reads_all,
        )
        self._judges_log = judges_log
        self._silent_ms_max = silent_ms_max
        self._longest_silence_ms = 0
        self._acted_at_ms: int | None = None
        self.committed.when_committed = self._effect_committed
        network.arrive(self.log.append, configuration(rng.choice(DEAD_TICKS)))
        if faults:
            Faults(network, rng, self.log, self.registries, self.centrals, self.collectors)
        if hang_at_ms is not None:
            until_ms = network.lasts(hang_at_ms + (silent_ms_max or 0))
            network.at(hang_at_ms, hang_primary(self.log, self.centrals, 10 * until_ms))

    def run(self) -> "World":
        """Run the schedule. Raises Violation."""
        self.network.run(BOUND_MS)
        if self._judges_log:
            self._judge()
        return self

    def _appended(self) -> None:
        self.centrals.look()
        self.registries.look()

    def _effect_committed(self, key: int) -> None:
        now_ms = self.network.now_ms
        if self._acted_at_ms is not None:
            silence_ms = now_ms - self._acted_at_ms
            self._longest_silence_ms = max(self._longest_silence_ms, silence_ms)
        self._acted_at_ms = now_ms
        is_settled = now_ms > self.network.calm_from_ms + SETTLED_MS
        self.network.is_over = is_settled and key == now_ms // ITEM_MS

    def _judge(self) -> None:
        if not self.network.is_over:
            raise Violation(f"nobody acts since {self._acted_at_ms} ms")
        if self._silent_ms_max is not None and self._longest_silence_ms > self._silent_ms_max:
            raise Violation(f"nobody acted for {self._longest_silence_ms} ms")
        keys = [int(key) for _, key in self.committed.effects]
        if len(keys) != len(set(keys)):
            raise Violation(f"effects twice: {sorted(k for k in set(keys) if keys.count(k) > 1)}")
        if missing := set(range(self.network.now_ms // ITEM_MS)) - set(keys):
            raise Violation(f"effects missing: {sorted(missing)}")
        for central in self.centrals.all:
            self._judge_store(central)
        for reader in self.collectors.readers.values():
            reader.read(self.committed.roles_topic)
            if reader.roles is None or reader.roles.epoch != self.committed.effects[-1][0]:
                raise Violation(f"{reader.name} does not know the primary")

    def _judge_store(self, central: Central) -> None:
        central.store.project(self.collectors.flows, writes_hint=False)
        central.store.judge(self.collectors)

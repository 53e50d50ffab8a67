"""Collectors of the world, and what centrals make of their ranges, numbered as datagrams are."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from shared.testing.memory_broker import MemoryTopic
from tests.simulation.committed import Committed, RolesReader, Violation
from tests.simulation.network import Network, Process

SEND_MS = 600


class Range(NamedTuple):
    """Flows `first` to `last` of a collector."""

    collector: str
    first: int
    last: int


@dataclass(slots=True, eq=False)
class Collector(Process):
    """received: flows in its spool. acknowledged: that the log has; checkpoint: so on disk."""

    received: int = 0
    acknowledged: int = 0
    checkpoint: int = 0


class Collectors:
    """They send what was not acknowledged, again and again, and follow `ha.roles`."""

    def __init__(
        self, network: Network, committed: Committed, without: Collection[str], count: int
    ) -> None:
        self.all = [Collector(f"c{number}") for number in range(count)]
        self.flows: MemoryTopic[Range] = MemoryTopic(network.broker)
        self._network = network
        self._committed = committed
        self.readers = {each.name: RolesReader(each.name, without) for each in self.all}
        for collector in self.all:
            network.at(network.draw(0, SEND_MS), self._turn, collector)

    def restarted(self, collector: Collector) -> None:
        """Go on from what is on disk: the spool, an older checkpoint, the roles it knew."""
        collector.acknowledged = collector.checkpoint
        self.readers[collector.name].place = 0

    def _turn(self, collector: Collector) -> None:
        network = self._network
        network.at(SEND_MS, self._turn, collector)
        if not collector.alive or network.now_ms < collector.paused_until_ms:
            return
        reader = self.readers[collector.name]
        if network.is_lossy and network.random() < 0.05:
            reader.place = 0
        if network.can_read(collector):
            reader.read(self._committed.roles_topic)
        collector.checkpoint = collector.acknowledged
        collector.received += int(network.random() * 4)
        if collector.acknowledged < collector.received:
            sent = Range(collector.name, collector.acknowledged + 1, collector.received)
            network.reaches(collector, self._append, collector, sent, repeats=True)

    def _append(self, collector: Collector, sent: Range) -> None:
        self.flows.append(sent)
        self._network.answer(collector, self._acknowledge, collector, sent.last)

    def _acknowledge(self, collector: Collector, last: int) -> None:
        collector.acknowledged = max(collector.acknowledged, last)


@dataclass(slots=True, eq=False)
class Store:
    """One central's. applied: the highest number in the table, rows: how many there are.

    hint: the place in the log that is written after the data, sometimes.
    """

    name: str
    trims: bool
    place: int = 0
    hint: int = 0
    applied: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)

    def project(self, flows: MemoryTopic[Range], *, writes_hint: bool) -> None:
        """Apply what the log has. Raises Violation."""
        if self.place == len(flows.records):
            return
        for stored in flows.read(self.place, committed=False):
            collector, first, last = stored.value
            known = self.applied.get(collector, 0)
            if first > known + 1:
                raise Violation(f"{self.name}: {collector} has a gap behind {known}")
            if last > known or not self.trims:
                begin = max(first, known + 1) if self.trims else first
                self.rows[collector] = self.rows.get(collector, 0) + last - begin + 1
                self.applied[collector] = max(last, known)
            self.place = stored.offset + 1
        if writes_hint:
            self.hint = self.place

    def killed(self) -> None:
        """Forget all but what is on disk."""
        self.place = self.hint

    def judge(self, collectors: Collectors) -> None:
        """See that each acknowledged flow is in, once. Raises Violation."""
        for collector in collectors.all:
            applied = self.applied.get(collector.name, 0)
            if applied < collector.acknowledged:
                raise Violation(f"{self.name}: {collector.name} misses flows behind {applied}")
            if self.rows.get(collector.name, 0) != applied:
                raise Violation(f"{self.name}: {collector.name} has flows twice")

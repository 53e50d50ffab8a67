"""`ha.log` in the world: what is appended is folded at once, and told to whom it concerns."""

from collections.abc import Callable, Collection
from dataclasses import fields

from shared.roles.fold import START, RolesState, evolve
from shared.roles.records import Config, Heartbeat, Record, Tick
from shared.testing.memory_broker import MemoryBroker, MemoryTopic, Stored
from tests.simulation.committed import Violation

PERIOD_MS = 400


class RolesLog:
    """The log, and the fold up to and with each of its records.

    concerns: the one incarnation to which a record may matter beyond the state that it leaves,
    empty for nobody, None for everybody.
    """

    def __init__(
        self,
        broker: MemoryBroker,
        without: Collection[str],
        when_appended: Callable[[], None],
    ) -> None:
        self.topic: MemoryTopic[Record] = MemoryTopic(broker)
        self.states: list[RolesState] = []
        self.concerns: list[str | None] = []
        self._acknowledges_all = "acknowledged ticks" in without
        self._all_valid = "valid ticks" in without
        self._when_appended = when_appended

    @property
    def state(self) -> RolesState:
        return self.states[-1] if self.states else START

    @property
    def stored(self) -> list[Stored[Record]]:
        return self.topic.read(0, committed=False)

    def append(self, record: Record) -> None:
        before = self.state
        if self._acknowledges_all and isinstance(record, Heartbeat):
            record = _with_all_ticks(record, before)
        offset, append_ms, _ = self.topic.append(record)
        if self._all_valid and isinstance(record, Tick):
            append_ms = (before.last_tick_ms or append_ms) + PERIOD_MS
        state = evolve(before, record, offset=offset, append_ms=append_ms)
        if state.epoch < before.epoch:
            raise Violation(f"epoch {state.epoch} after {before.epoch}")
        self.states.append(state)
        self.concerns.append(_concern(before, record, state))
        self._when_appended()


def _concern(before: RolesState, record: Record, state: RolesState) -> str | None:
    """While something is asked for or handed over everything may matter to everybody."""
    if before.request or before.handover or state.request or state.handover:
        return None
    if isinstance(record, Tick):
        return ""
    return record.incarnation if isinstance(record, Heartbeat) else None


def configuration(dead_ticks: int) -> Config:
    """Return the first record of the log."""
    return Config(period_ms=PERIOD_MS, dead_ticks=dead_ticks, hold_down_s=3.0)


def _with_all_ticks(heartbeat: Heartbeat, state: RolesState) -> Heartbeat:
    known = {field.name: getattr(heartbeat, field.name) for field in fields(Heartbeat)}
    return Heartbeat(**known | {"acknowledged_ticks": state.ticks})

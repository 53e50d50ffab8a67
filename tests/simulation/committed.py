"""What primaries commit, judged as it happens: by the log, and by those who read it."""

from collections.abc import Callable, Collection
from typing import Any

from services.central.roles.outbox import Notice, OutboxState
from services.central.roles.outbox import evolve as evolve_outbox
from shared.roles.cluster import ClusterRoles, newer
from shared.testing.memory_broker import MemoryBroker, MemoryProducer, MemoryTopic

TRANSACTIONAL_ID = "primary"


class Violation(AssertionError):
    """A promise was broken."""


class Committed:
    """Topics `outbox` and `ha.roles`.

    outbox: as its reader has folded it. effects: epoch and key of each, in order.
    """

    def __init__(self, broker: MemoryBroker, without: Collection[str], *, judges_log: bool) -> None:
        """judges_log: an older epoch behind a newer one is found in the log already."""
        self.broker = broker
        self.outbox_topic: MemoryTopic[Notice] = MemoryTopic(broker)
        self.roles_topic: MemoryTopic[ClusterRoles] = MemoryTopic(broker)
        self.outbox = OutboxState()
        self.effects: list[tuple[int, str]] = []
        self.when_committed: Callable[[int], None] = lambda key: None
        self._checks_epoch = "epoch check" not in without
        self._judges_log = judges_log
        self._actors: dict[int, str] = {}
        self._newest_epoch = -1
        self._accepted_epoch = -1

    def commit(
        self, producer: MemoryProducer, incarnation: str, item: Notice | ClusterRoles
    ) -> None:
        """Commit one effect, or the record that says who is primary. Raises Fenced, Violation."""
        topic: MemoryTopic[Any] = (
            self.outbox_topic if isinstance(item, Notice) else self.roles_topic
        )
        producer.send(topic, item)
        producer.commit()
        self._see_order(incarnation, item.epoch)
        if isinstance(item, Notice):
            self.effects.append((item.epoch, item.key))
            self._read_back(item)
            self.when_committed(int(item.key))

    def _see_order(self, incarnation: str, epoch: int) -> None:
        if not self._judges_log:
            return
        if epoch < self._newest_epoch:
            raise Violation(f"an effect of epoch {epoch} after one of {self._newest_epoch}")
        self._newest_epoch = epoch
        if self._actors.setdefault(epoch, incarnation) != incarnation:
            raise Violation(f"epoch {epoch}: {self._actors[epoch]} and {incarnation} act")

    def _read_back(self, notice: Notice) -> None:
        before = self.outbox if self._checks_epoch else self.outbox._replace(order=(-1, -1))
        self.outbox = evolve_outbox(before, notice)
        if self.outbox.refused > before.refused:
            return
        if notice.epoch < self._accepted_epoch:
            raise Violation(f"epoch {notice.epoch} accepted after {self._accepted_epoch}")
        self._accepted_epoch = notice.epoch


class RolesReader:
    """Follows `ha.roles`, from its start again now and then, as after a broker that was away."""

    def __init__(self, name: str, without: Collection[str]) -> None:
        self.name = name
        self.roles: ClusterRoles | None = None
        self.place = 0
        self._checks_epoch = "epoch check" not in without

    def read(self, topic: MemoryTopic[ClusterRoles]) -> None:
        """Raises Violation."""
        if self.place == len(topic.records):
            return
        for stored in topic.read(self.place, committed=True):
            found = stored.value
            known = self.roles
            self.roles = newer(known if self._checks_epoch else None, found)
            if known is not None and self.roles.order < known.order:
                raise Violation(f"{self.name} goes back from epoch {known.epoch} to {found.epoch}")
            self.place = stored.offset + 1

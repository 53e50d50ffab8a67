"""What primaries committed, as this central has read it: outbox, history, and who is primary."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from services.central.roles.duties import RolesTopics
from services.central.roles.outbox import OutboxError, OutboxState, decode_item, evolve
from services.central.roles.outbox_since import OutboxSince
from shared.follow import Follower
from shared.kafka import Brokers, Looks, Record
from shared.roles.cluster import ClusterRoles, decode_roles, newer
from shared.roles.history import (
    HistoryError,
    Tail,
    Takeover,
    read_entry,
    tail_after,
    takeover_of,
)
from shared.roles.records import RecordError
from shared.topics import Topic

log = logging.getLogger(__name__)

TAKEOVERS_KEPT: Final = 1_000


class Committed:
    """Follows three topics. tail: where `ha.history` ends; written: the record on `ha.roles`."""

    def __init__(
        self,
        brokers: Brokers,
        looks: Looks,
        *,
        client_id: str,
        topics: RolesTopics,
        wall_ms: Callable[[], int],
        data_dir: Path | None = None,
    ) -> None:
        """Build without connecting. wall_ms: UTC. data_dir: as of `OutboxSince`."""
        self._brokers = brokers
        self._looks = looks
        self._client_id = client_id
        self.outbox = OutboxState()
        self._since = since = OutboxSince(data_dir)
        self.tail = Tail()
        self.takeovers: deque[Takeover] = deque(maxlen=TAKEOVERS_KEPT)
        self.written: ClusterRoles | None = None
        self._followers = {
            topics.roles.name: self._follower(topics.roles, self._take_roles),
            topics.history.name: self._follower(
                topics.history, self._take_entry, begin=self._begin_history
            ),
            topics.outbox.name: self._follower(
                topics.outbox,
                self._take_item,
                begin=self._begin_outbox,
                since_ms=lambda: since.since_ms(wall_ms()),
            ),
        }

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as group:
            for follower in self._followers.values():
                group.create_task(follower.run())

    async def read_to_ends(self) -> None:
        """Return once everything is taken that is committed now. Raises KafkaAway."""
        ends = await self._looks.ends(self._followers)
        for topic, follower in self._followers.items():
            await follower.read_to(ends[topic].get(0, 0))

    def _follower(
        self,
        topic: Topic,
        take: Callable[[Record], None],
        *,
        begin: Callable[[], None] = lambda: None,
        since_ms: Callable[[], int] | None = None,
    ) -> Follower:
        return Follower(
            self._brokers,
            client_id=f"{self._client_id}-{topic.name}",
            topic=topic,
            take=take,
            read_committed=True,
            begin=begin,
            since_ms=since_ms,
        )

    def _take_item(self, read: Record) -> None:
        try:
            item = decode_item(read.value)
        except OutboxError as error:
            log.error("item of the outbox refused error=%s", error)
            return
        self.outbox = evolve(self.outbox, item)
        self._since.note(self.outbox, item)

    def _begin_outbox(self) -> None:
        self.outbox = OutboxState()

    def _take_entry(self, read: Record) -> None:
        try:
            entry = read_entry(read.value)
        except HistoryError as error:
            log.error("entry of ha.history refused error=%s", error)
            return
        self.tail = tail_after(self.tail, entry)
        if (takeover := takeover_of(entry)) is not None:
            self.takeovers.append(takeover)

    def _begin_history(self) -> None:
        self.tail = Tail()
        self.takeovers.clear()

    def _take_roles(self, read: Record) -> None:
        try:
            found = decode_roles(read.value)
        except RecordError as error:
            log.error("record of ha.roles refused error=%s", error)
            return
        self.written = newer(self.written, found)

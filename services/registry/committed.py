"""What primaries committed: `ha.roles`, followed from its start, and `ha.history`, read whole."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

from shared.backoff import waits
from shared.health import Health
from shared.kafka import (
    Brokers,
    KafkaAway,
    PositionLost,
    Reader,
    Record,
    TopicRefused,
    ensure_topics,
    partition_facts,
)
from shared.roles.cluster import ClusterRoles, decode_roles, newer
from shared.roles.history import Entry, HistoryError, problems, read_entry
from shared.roles.records import RecordError
from shared.topics import Topic

log = logging.getLogger(__name__)

HISTORY_TIMEOUT_S = 20.0
_PARTITION = 0
_FETCH_MS = 500
_RECORDS_MAX = 1_000
_LOOP = "roles"


class CommittedRoles:
    """Follows `ha.roles`. roles: the newest record, None without one; refused: unreadable ones.

    is_read: it has been read to its end once.
    """

    def __init__(
        self,
        brokers: Brokers,
        *,
        client_id: str,
        topic: Topic,
        health: Health,
        when_read: Callable[[], None],
    ) -> None:
        """Build without connecting. when_read: called after each change."""
        self._brokers = brokers
        self._topic = topic
        self._health = health
        self._when_read = when_read
        self._reader = Reader(brokers, client_id=client_id, topic=topic.name, read_committed=True)
        self.roles: ClusterRoles | None = None
        self.is_read = False
        self.refused = 0

    async def run(self) -> None:
        """Follow until cancelled, with growing waits while no broker answers."""
        pauses = waits()
        try:
            while True:
                self._health.turned(_LOOP)
                try:
                    await ensure_topics(self._brokers, [self._topic])
                    async for records in read_to_end(self._reader, self._brokers, self._topic.name):
                        self._take(records)
                    self.is_read = True
                    self._when_read()
                    pauses = waits()
                    await self._follow()
                except (KafkaAway, PositionLost, TopicRefused) as error:
                    log.warning("ha.roles not read, tried again error=%s", str(error)[:300])
                await asyncio.sleep(next(pauses))
        finally:
            await self._reader.stop()

    async def _follow(self) -> None:
        while True:
            self._health.turned(_LOOP)
            records = await self._reader.fetch(timeout_ms=_FETCH_MS, records_max=_RECORDS_MAX)
            if records:
                self._take(records)
                self._when_read()

    def _take(self, records: list[Record]) -> None:
        self._health.turned(_LOOP)
        for record in records:
            try:
                self.roles = newer(self.roles, decode_roles(record.value))
            except RecordError as error:
                self.refused += 1
                log.error("record of ha.roles refused offset=%d error=%s", record.offset, error)


async def read_history(
    brokers: Brokers, *, client_id: str, topic: str
) -> tuple[list[Entry], list[str]]:
    """Return the entries of `ha.history`, oldest first, and what is wrong with their chain.

    Raises KafkaAway, also when an open transaction hides the end for too long.
    """
    reader = Reader(brokers, client_id=client_id, topic=topic, read_committed=True)
    entries: list[Entry] = []
    unreadable: list[str] = []
    try:
        async with asyncio.timeout(HISTORY_TIMEOUT_S):
            async for records in read_to_end(reader, brokers, topic):
                for record in records:
                    try:
                        entries.append(read_entry(record.value))
                    except HistoryError as error:
                        unreadable.append(f"offset {record.offset}: {error}")
    except (TimeoutError, PositionLost) as error:
        raise KafkaAway(f"{topic} was not read to its end: {error}") from error
    finally:
        await reader.stop()
    return entries, [*unreadable, *problems(entries)]


async def read_to_end(reader: Reader, brokers: Brokers, topic: str) -> AsyncIterator[list[Record]]:
    """Yield all records from the start to where the log ends now; none where there is no topic.

    Raises KafkaAway and PositionLost.
    """
    for facts in await partition_facts(brokers, topic):
        if facts.partition != _PARTITION:
            continue
        await reader.stop()
        await reader.start({_PARTITION: facts.start_offset})
        # Asked of the reader, as transaction markers are offsets that no record has.
        while await reader.place(_PARTITION) < facts.end_offset:
            yield await reader.fetch(timeout_ms=_FETCH_MS, records_max=_RECORDS_MAX)

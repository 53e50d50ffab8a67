"""Settings as events: written to Kafka, read back into the tables, and only then answered."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

from sqlalchemy.exc import DBAPIError

from services.central.metadata.database import is_away
from services.central.metadata.settings_tables import SettingsPosition, SettingsTables
from services.central.metrics import CentralMetrics
from shared.backoff import waits
from shared.health import Health
from shared.kafka import (
    Brokers,
    KafkaAway,
    PartitionFacts,
    PositionLost,
    Reader,
    Record,
    SendRefused,
    TopicRefused,
    ensure_topics,
    first_partition_facts,
)
from shared.settings_events import SettingsEvent, SettingsEventError, decode, encode
from shared.topics import Topic

log = logging.getLogger(__name__)

PARTITION = 0
TOMBSTONES_KEPT_MS = 24 * 3600 * 1000
"""Kafka's `delete.retention.ms`: whoever reads from an older place may have missed a removal."""
RECORDS_MAX = 500
FETCH_MS = 500
NOTE_EVERY_MS = 60_000
_QUIET_FETCHES = 6
_POLL_S = 0.005


class SettingsAway(Exception):
    """The change could not be written, or was not read back in time; it may still be made."""


@contextlib.asynccontextmanager
async def read_back_within(wait_s: float) -> AsyncIterator[None]:
    """Write and read back in the block. Raises SettingsAway where that fails, or takes longer."""
    try:
        async with asyncio.timeout(wait_s):
            yield
    except TimeoutError as error:
        raise SettingsAway(f"not read back within {wait_s:g} s") from error
    except (KafkaAway, SendRefused) as error:
        raise SettingsAway(str(error)) from error


class SettingsLog:
    """The one way to change a setting, and the loop that makes changes hold here."""

    def __init__(
        self,
        tables: SettingsTables,
        *,
        brokers: Brokers,
        topic: Topic,
        client_id: str,
        write: Callable[[bytes, bytes | None], Awaitable[int]],
        metrics: CentralMetrics,
        health: Health,
        now_ms: Callable[[], int],
        wait_s: float,
    ) -> None:
        """Build without connecting.

        write: has key and value appended by the primary, and returns the offset. wait_s: how long
        a change waits to be read back.
        """
        self._tables = tables
        self._brokers = brokers
        self._topic = topic
        self._metrics = metrics
        self._health = health
        self._now_ms = now_ms
        self._wait_s = wait_s
        self._reader = Reader(brokers, client_id=client_id, topic=topic.name, read_committed=True)
        self._write = write
        self._position: SettingsPosition | None = None
        self._is_complete = False
        self._read_on = asyncio.Condition()

    @property
    def is_complete(self) -> bool:
        """Whether everything that was in the log when reading began holds here.

        Until then a setting may be missing: nothing that cannot be undone may follow from it.
        """
        return self._is_complete

    async def change(self, event: SettingsEvent) -> None:
        """Write `event`; returns when it holds here. Raises SettingsAway."""
        async with read_back_within(self._wait_s):
            offset = await self._write(*encode(event))
            async with self._read_on:
                await self._read_on.wait_for(lambda: self._is_read(offset))

    async def run(self) -> None:
        """Read the topic into the tables until cancelled."""
        pauses = waits()
        try:
            while True:
                try:
                    await self._follow()
                except (KafkaAway, PositionLost, TopicRefused, DBAPIError) as error:
                    if isinstance(error, DBAPIError) and not is_away(error):
                        raise
                    self._is_complete = False
                    self._health.unmet("settings", str(error)[:300])
                    log.warning("settings not read, tried again error=%s", str(error)[:300])
                    self._health.turned("settings")
                    await asyncio.sleep(next(pauses))
        finally:
            await self._reader.stop()

    async def reached(self, end_offset: int) -> None:
        """Return once everything before `end_offset` was read."""
        while True:
            with contextlib.suppress(KafkaAway):
                if await self._reader.place(PARTITION) >= end_offset:
                    return
            await asyncio.sleep(_POLL_S)

    def _is_read(self, offset: int) -> bool:
        return self._position is not None and self._position.next_offset > offset

    async def _follow(self) -> None:
        await ensure_topics(self._brokers, [self._topic])
        facts = await self._facts()
        position = await asyncio.to_thread(self._tables.position)
        if position is None or _must_rebuild(position, facts, self._now_ms()):
            position = await self._rebuild(facts)
        else:
            await self._reader.stop()
            await self._reader.start({PARTITION: position.next_offset})
        await self._arrive(position)
        quiet = 0
        while True:
            self._health.turned("settings")
            if not self._is_complete and await self._is_at(facts.end_offset, position, quiet):
                self._is_complete = True
                self._health.met("settings")
            records = await self._reader.fetch(timeout_ms=FETCH_MS, records_max=RECORDS_MAX)
            quiet = 0 if records else quiet + 1
            now_ms = self._now_ms()
            if records:
                position = SettingsPosition(facts.topic_id, records[-1].offset + 1, now_ms)
            elif now_ms - position.read_at_ms > NOTE_EVERY_MS:
                found = await self._facts()
                if found.topic_id != facts.topic_id or found.end_offset < position.next_offset:
                    raise KafkaAway("the topic was made again")
                position = replace(position, read_at_ms=now_ms)
            else:
                continue
            events = self._decode_all(records)
            await asyncio.to_thread(self._tables.apply, events, position)
            await self._arrive(position)

    async def _rebuild(self, facts: PartitionFacts) -> SettingsPosition:
        """Read all there is and put it in place of what stands in the tables."""
        await self._reader.stop()
        await self._reader.start({PARTITION: facts.start_offset})
        events: list[SettingsEvent] = []
        quiet = 0
        position = SettingsPosition(facts.topic_id, facts.start_offset, self._now_ms())
        while not await self._is_at(facts.end_offset, position, quiet):
            records = await self._reader.fetch(timeout_ms=FETCH_MS, records_max=RECORDS_MAX)
            self._health.turned("settings")
            events += self._decode_all(records)
            quiet = 0 if records else quiet + 1
            position = SettingsPosition(
                facts.topic_id, self._reader.positions[PARTITION], self._now_ms()
            )
        await asyncio.to_thread(self._tables.apply, events, position, from_nothing=True)
        log.info("settings read from the start events=%d", len(events))
        return position

    async def _is_at(self, end_offset: int, position: SettingsPosition, quiet: int) -> bool:
        """Whether all before `end_offset` is read. quiet: fetches in a row without a record.

        The log may end in transaction markers, which are offsets that no record ever has: then it
        is the silence of a broker that answers. Raises KafkaAway where it does not.
        """
        if position.next_offset >= end_offset:
            return True
        if not quiet or quiet % _QUIET_FETCHES:
            return False
        await self._facts()
        return True

    async def _facts(self) -> PartitionFacts:
        return await first_partition_facts(self._brokers, self._topic.name)

    async def _arrive(self, position: SettingsPosition) -> None:
        async with self._read_on:
            self._position = position
            self._read_on.notify_all()

    def _decode_all(self, records: list[Record]) -> list[SettingsEvent]:
        events = []
        for record in records:
            try:
                events.append(decode(record.key, record.value))
            except SettingsEventError as error:
                self._metrics.settings_refused.inc()
                log.error("settings event refused offset=%d error=%s", record.offset, error)
        return events


def _must_rebuild(position: SettingsPosition, facts: PartitionFacts, now_ms: int) -> bool:
    return (
        position.topic_id != facts.topic_id
        or not facts.start_offset <= position.next_offset <= facts.end_offset
        or now_ms - position.read_at_ms > TOMBSTONES_KEPT_MS
    )

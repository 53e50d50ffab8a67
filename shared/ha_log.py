"""`ha.log` as it is read: from the oldest snapshot that its records still need, folded in order."""

import contextlib
import logging

from shared.kafka import (
    Brokers,
    PartitionFacts,
    PositionLost,
    Reader,
    ensure_topics,
    first_partition_facts,
)
from shared.kafka import Record as KafkaRecord
from shared.roles.fold import START, Folded, RolesState, evolve
from shared.roles.records import Record, RecordError, Snapshot, decode_record
from shared.roles.snapshot import state_of
from shared.topics import HA_LOG, Topic

log = logging.getLogger(__name__)

PARTITION = 0
RECORDS_MAX = 5_000
FETCH_MS = 500
FACTS_EVERY_FETCHES = 60


class LogUnreadable(Exception):
    """The log begins in the middle, and has no snapshot that this release knows: nothing is known.

    "Empty" would be wrong: it would accept a claim that others refuse.
    """


class LogRemade(Exception):
    """The topic was made again, or lost its place: everything read of it before is void."""


class HaLog:
    """Reads and folds the log. `start`, then `fetch` again and again, from one task.

    refused: records that this release could not read; they change nothing.
    """

    def __init__(self, brokers: Brokers, *, client_id: str, topic: Topic = HA_LOG) -> None:
        """Build without connecting."""
        self._brokers = brokers
        self._topic = topic
        self._reader = Reader(brokers, client_id=client_id, topic=topic.name)
        self._facts: PartitionFacts | None = None
        self._quiet = 0
        self.state: RolesState = START
        self.refused = 0

    @property
    def topic_id(self) -> str:
        """Which topic of that name it is; empty before `start`."""
        return "" if self._facts is None else self._facts.topic_id

    async def start(self) -> list[Folded]:
        """Read all there is, from the first snapshot on; the way back after any error, too.

        Raises KafkaAway, TopicRefused, LogUnreadable, FutureFold; LogRemade when it is not the log
        of the `start` before.
        """
        await ensure_topics(self._brokers, [self._topic])
        facts = await self._ask()
        known, self._facts = self._facts, facts
        self.state, self._quiet = START, 0
        if known is not None and known.topic_id != facts.topic_id:
            raise LogRemade(f"topic {self._topic.name} was made again")
        await self._reader.stop()
        await self._reader.start({PARTITION: facts.start_offset})
        read: list[tuple[KafkaRecord, Record | None]] = []
        while self._reader.positions[PARTITION] < facts.end_offset:
            read += [(one, self._decode(one)) for one in await self._fetch(FETCH_MS)]
        self.state = self._base(facts, [record for _, record in read])
        return [
            folded
            for one, record in read
            if one.offset > self.state.offset
            for folded in self._fold(one, record)
        ]

    async def fetch(self, *, timeout_ms: int = FETCH_MS) -> list[Folded]:
        """Return what was appended since; empty after `timeout_ms`.

        Raises KafkaAway (fetch again), FutureFold, and LogRemade (start again).
        """
        records = await self._fetch(timeout_ms)
        self._quiet = 0 if records else self._quiet + 1
        if self._quiet >= FACTS_EVERY_FETCHES:
            self._quiet = 0
            await self._check()
        return [folded for one in records for folded in self._fold(one, self._decode(one))]

    async def stop(self) -> None:
        """Close the connection."""
        await self._reader.stop()

    async def _fetch(self, timeout_ms: int) -> list[KafkaRecord]:
        try:
            return await self._reader.fetch(timeout_ms=timeout_ms, records_max=RECORDS_MAX)
        except PositionLost as error:
            raise LogRemade(f"topic {self._topic.name}: {error}") from error

    async def _ask(self) -> PartitionFacts:
        return await first_partition_facts(self._brokers, self._topic.name)

    async def _check(self) -> None:
        facts = await self._ask()
        if facts.topic_id != self.topic_id or facts.end_offset <= self.state.offset:
            raise LogRemade(f"topic {self._topic.name} was made again")

    def _base(self, facts: PartitionFacts, records: list[Record | None]) -> RolesState:
        if facts.start_offset == 0:
            return START
        for record in records:
            if isinstance(record, Snapshot) and record.offset >= facts.start_offset - 1:
                with contextlib.suppress(RecordError):
                    state = state_of(record)
                    if state is not None:
                        return state
        raise LogUnreadable(
            f"topic {self._topic.name} begins at offset {facts.start_offset} and has no snapshot "
            "that this release can read"
        )

    def _decode(self, read: KafkaRecord) -> Record | None:
        try:
            return decode_record(read.value)
        except RecordError as error:
            self.refused += 1
            log.error("record of ha.log refused offset=%d error=%s", read.offset, error)
            return None

    def _fold(self, read: KafkaRecord, record: Record | None) -> list[Folded]:
        before = self.state
        if record is None:
            self.state = before._replace(offset=read.offset)
            return []
        self.state = evolve(before, record, offset=read.offset, append_ms=read.timestamp_ms)
        return [Folded(record, before, self.state, read.offset, read.timestamp_ms)]

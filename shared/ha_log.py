"""`ha.log` as it is read: folded in order from a snapshot on, and nothing of it is kept.

Who wants the state alone begins at one of the newest, who wants the records at the oldest.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from shared.kafka import (
    Brokers,
    KafkaAway,
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
LOOK_BACK = 2_000
"""Offsets before the end, where the newest snapshots stand: one is written after 1,000."""
FARTHER = 10
"""So many times as far back a snapshot is looked for next."""
HELD_MAX = 2_000
"""Records kept while a snapshot is looked for; one of a state before them costs a second look."""


class LogUnreadable(Exception):
    """The log begins in the middle, and has no snapshot that this release knows: nothing is known.

    "Empty" would be wrong: it would accept a claim that others refuse.
    """


class LogRemade(Exception):
    """The topic was made again, or lost its place: everything read of it before is void."""


class HaLog:
    """Reads and folds the log. `start`, then `fetch` again and again, from one task.

    state: as far as it was read; of the whole log once `start` returned. refused: records that this
    release could not read; they change nothing.
    """

    def __init__(
        self,
        brokers: Brokers,
        *,
        client_id: str,
        topic: Topic = HA_LOG,
        reader: Reader | None = None,
        ask: Callable[[Brokers, str], Awaitable[PartitionFacts]] = first_partition_facts,
        ensure: Callable[[Brokers, Sequence[Topic]], Awaitable[None]] = ensure_topics,
    ) -> None:
        """Build without connecting."""
        self._brokers = brokers
        self._topic = topic
        self._reader = reader or Reader(brokers, client_id=client_id, topic=topic.name)
        self._ask_facts = ask
        self._ensure = ensure
        self._facts: PartitionFacts | None = None
        self._quiet = 0
        self._broke_off = False
        self.state: RolesState = START
        self.refused = 0

    @property
    def topic_id(self) -> str:
        """Which topic of that name it is; empty before `start`."""
        return "" if self._facts is None else self._facts.topic_id

    async def start(self, take: Callable[[Folded], None] | None = None) -> int:
        """Read to the log's end; return how many records were folded. The way back after any error.

        take: gets every record that can be folded, in order, once: also over KafkaAway, after which
        `start` goes on. Without it only the state is wanted, and reading begins shortly before the
        end. Raises KafkaAway, TopicRefused, LogUnreadable, FutureFold; LogRemade when it is not the
        log of the `start` before.
        """
        await self._ensure(self._brokers, [self._topic])
        facts = await self._ask()
        known, self._facts = self._facts, facts
        is_another = known is not None and known.topic_id != facts.topic_id
        goes_on, self._broke_off = self._broke_off and not is_another, False
        self._quiet = 0
        if not goes_on:
            self.state = START
        if is_another:
            raise LogRemade(f"topic {self._topic.name} was made again")
        count = 0
        try:
            if goes_on:
                await self._go_to(self.state.offset + 1)
                read: Sequence[KafkaRecord] = ()
            else:
                read = await self._begin(facts, LOOK_BACK if take is None else None)
                goes_on = True
            while True:
                for one in read:
                    for folded in self._fold(one, self._decode(one)):
                        count += 1
                        if take is not None:
                            take(folded)
                if self._reader.positions[PARTITION] >= facts.end_offset:
                    return count
                # What is fetched already comes without a wait, and others have their turn, too.
                await asyncio.sleep(0)
                read = await self._fetch(FETCH_MS)
        except KafkaAway:
            self._broke_off = goes_on
            raise

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
        return await self._ask_facts(self._brokers, self._topic.name)

    async def _check(self) -> None:
        facts = await self._ask()
        if facts.topic_id != self.topic_id or facts.end_offset <= self.state.offset:
            raise LogRemade(f"topic {self._topic.name} was made again")

    async def _begin(self, facts: PartitionFacts, back: int | None) -> Sequence[KafkaRecord]:
        """Take the state to fold on from; return what was read behind it.

        back: in offsets, how far before the end it is looked for first; None for the log's start.
        """
        start, end = facts.start_offset, facts.end_offset
        since = start if back is None else max(start, end - back)
        while True:
            await self._go_to(since)
            if since == 0:
                return ()
            found = await self._behind_snapshot(facts)
            if found is not None:
                return found
            if since == start:
                raise LogUnreadable(
                    f"topic {self._topic.name} begins at offset {start} and has no snapshot that "
                    "this release can read"
                )
            since = max(start, end - FARTHER * (end - since))

    async def _behind_snapshot(self, facts: PartitionFacts) -> Sequence[KafkaRecord] | None:
        """Take the state of the next snapshot; return what was read behind it, None without one."""
        # A snapshot is of a state some records before its own place: those are still to be folded.
        held: deque[KafkaRecord] = deque(maxlen=HELD_MAX)
        while self._reader.positions[PARTITION] < facts.end_offset:
            read = await self._fetch(FETCH_MS)
            for place, one in enumerate(read):
                state = _state_in(one, facts.start_offset)
                if state is None:
                    held.append(one)
                    continue
                self.state = state
                behind = [*held, *read[place:]]
                if behind[0].offset > state.offset + 1:
                    self._reader.seek(PARTITION, state.offset + 1)
                    return ()
                return [each for each in behind if each.offset > state.offset]
        return None

    async def _go_to(self, offset: int) -> None:
        await self._reader.stop()
        await self._reader.start({PARTITION: offset})

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


def _state_in(read: KafkaRecord, start_offset: int) -> RolesState | None:
    """Return the state in a snapshot behind which the log has everything; None for all else."""
    with contextlib.suppress(RecordError):
        record = decode_record(read.value)
        if isinstance(record, Snapshot) and start_offset - 1 <= record.offset < read.offset:
            return state_of(record)
    return None

"""One partition read from its start on and followed for ever, also over a broker's absence."""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from shared.backoff import waits
from shared.kafka import (
    Brokers,
    KafkaAway,
    PartitionFacts,
    PositionLost,
    Reader,
    Record,
    TopicRefused,
    ensure_topics,
    first_partition_facts,
    offsets_since,
)
from shared.topics import Topic

log = logging.getLogger(__name__)

PARTITION = 0
RECORDS_MAX = 500
FETCH_MS = 500
FACTS_EVERY_FETCHES = 60
POLL_S = 0.005


class Follower:
    """Gives each record of partition 0 to `take`, in order; `run` never ends by itself.

    topic_id: which topic of that name it is; empty before it was found. end_offset: where it ended
    when reading began, or went on: what is older may have come while nobody read.
    """

    def __init__(
        self,
        brokers: Brokers,
        *,
        client_id: str,
        topic: Topic,
        take: Callable[[Record], None],
        read_committed: bool = False,
        begin: Callable[[], None] = lambda: None,
        since_ms: Callable[[], int] | None = None,
    ) -> None:
        """Build without connecting.

        begin: called before the first record, and again when the topic is another one. since_ms:
        records appended before, UTC, are left out; None reads all there are.
        """
        self._brokers = brokers
        self._topic = topic
        self._take = take
        self._start = begin
        self._since_ms = since_ms
        self._reader = Reader(
            brokers, client_id=client_id, topic=topic.name, read_committed=read_committed
        )
        self.topic_id = ""
        self.end_offset = 0

    async def run(self) -> None:
        """Follow until cancelled, with growing waits while no broker answers."""
        pauses = waits()
        try:
            while True:
                try:
                    await self._begin()
                    pauses = waits()
                    await self._go_on()
                except PositionLost as error:
                    self.topic_id = ""
                    log.warning("read from the start topic=%s error=%s", self._topic.name, error)
                except (KafkaAway, TopicRefused) as error:
                    log.warning("tried again topic=%s error=%s", self._topic.name, error)
                await asyncio.sleep(next(pauses))
        finally:
            await self._reader.stop()

    async def read_to(self, end_offset: int) -> None:
        """Return once everything before `end_offset` was taken; waits while no broker answers."""
        while True:
            if self.topic_id:
                with contextlib.suppress(KafkaAway):
                    if await self._reader.place(PARTITION) >= end_offset:
                        return
            await asyncio.sleep(POLL_S)

    async def _begin(self) -> None:
        """Go on where reading stopped, or begin at the start of a topic that is another one."""
        await ensure_topics(self._brokers, [self._topic])
        facts = await self._facts()
        place = self._reader.positions.get(PARTITION, -1)
        is_same = facts.topic_id == self.topic_id
        is_new = not is_same or not facts.start_offset <= place <= facts.end_offset
        if is_new:
            place = await self._first(facts)
        await self._reader.stop()
        await self._reader.start({PARTITION: place})
        if is_new:
            self._start()
        self.topic_id, self.end_offset = facts.topic_id, facts.end_offset

    async def _go_on(self) -> None:
        quiet = 0
        while True:
            records = await self._reader.fetch(timeout_ms=FETCH_MS, records_max=RECORDS_MAX)
            for record in records:
                self._take(record)
            # What is buffered comes without a wait: others shall run all the same.
            await asyncio.sleep(0)
            quiet = 0 if records else quiet + 1
            if quiet % FACTS_EVERY_FETCHES == FACTS_EVERY_FETCHES - 1:
                facts = await self._facts()
                if facts.topic_id != self.topic_id:
                    raise KafkaAway("the topic was made again")

    async def _first(self, facts: PartitionFacts) -> int:
        if self._since_ms is None:
            return facts.start_offset
        since = await offsets_since(self._brokers, self._topic.name, self._since_ms())
        return max(facts.start_offset, since.get(PARTITION, facts.start_offset))

    async def _facts(self) -> PartitionFacts:
        return await first_partition_facts(self._brokers, self._topic.name)

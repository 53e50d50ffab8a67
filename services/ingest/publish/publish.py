"""The decoder's way to Kafka: one range at a time on `flows`, its sums on `rates`."""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from zlib import crc32

from services.ingest.publish.encode import Message
from shared.flow_message import LOG_HEADER, MessageError, decode_headers
from shared.kafka import (
    Brokers,
    KafkaAway,
    PartitionFacts,
    PositionLost,
    Producer,
    Reader,
    Record,
    SendRefused,
    Sent,
    TopicRefused,
    ensure_topics,
    partition_facts,
)
from shared.topics import FLOWS, RATES, Topic

log = logging.getLogger(__name__)

LOOK_TIMEOUT_S = 10.0
RATES_PAUSE_S = 30.0
RATES_START_S = 2.0
RATES_SEND_S = 5.0
"""More than another leader takes to be found; so long `flows` waits for a topic that is away."""


class Publisher:
    """Sends the messages of one worker. One send at a time: see `send`.

    `rates` has a producer of its own, because one failed record ends a producer: what goes wrong
    there is counted and forgotten, and never delays `flows` by more than one send in a while.
    """

    def __init__(
        self,
        brokers: Brokers,
        *,
        worker: str,
        flows: Topic = FLOWS,
        rates: Topic = RATES,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """worker: `name/index`, the key. flows, rates: made when they are missing."""
        self._brokers = brokers
        self._worker = worker
        self._topic, self._rates_topic = flows, rates
        self._monotonic_s = monotonic_s
        self._flows = Producer(brokers, client_id=f"steadflow-decoder-{worker}")
        self._rates = Producer(
            brokers,
            client_id=f"steadflow-decoder-rates-{worker}",
            patience_s=RATES_START_S,
            delivery_timeout_s=RATES_SEND_S,
        )
        self._rates_started = False
        self._rates_again_at_s = 0.0
        self._rates_partitions = rates.partitions
        self.facts: list[PartitionFacts] = []
        self.rates_lost = 0

    @property
    def topic_id(self) -> str:
        """Id of the topic `flows` at the last look."""
        return self.facts[0].topic_id

    async def connect(self) -> list[PartitionFacts]:
        """Connect anew, make missing topics, and look at `flows`. Raises KafkaAway."""
        await ensure_topics(self._brokers, [self._topic, self._rates_topic])
        await self._flows.start()
        rates = await partition_facts(self._brokers, self._rates_topic.name)
        self._rates_partitions = len(rates) or 1
        self._rates_started = False
        return await self.look()

    async def look(self) -> list[PartitionFacts]:
        """Return what `flows` is now; empty when it is gone. Raises KafkaAway."""
        facts = await partition_facts(self._brokers, self._topic.name)
        self.facts = facts or self.facts
        return facts

    async def holds(self, offsets: Mapping[int, int], streams: Collection[int]) -> bool:
        """Whether a record of `streams` stands at each offset, by partition. Raises KafkaAway.

        Those that the log deleted since count as such.
        """
        begin = {fact.partition: fact.start_offset for fact in self.facts}
        asked = {number: at for number, at in offsets.items() if at >= begin.get(number, at + 1)}
        if not asked:
            return True
        reader = Reader(
            self._brokers,
            client_id=f"steadflow-decoder-{self._worker}",
            topic=self._topic.name,
            # All that others published since may be more than the way to Kafka carries in time.
            fetch_bytes=1,
        )
        try:
            await reader.start(asked)
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                while asked:
                    for record in await reader.fetch(timeout_ms=500, records_max=len(asked)):
                        at = asked.pop(record.partition, -1)
                        if at == record.offset and _stream_of(record) not in streams:
                            return False
        except (PositionLost, TimeoutError) as error:
            raise KafkaAway(f"{self._topic.name}: what was acknowledged is not read") from error
        finally:
            await reader.stop()
        return True

    async def send(self, message: Message) -> Sent:
        """Send one range and wait until the broker has it; its sums too, or they were given up.

        The caller sends the next range only then: of two in flight the second could reach the log
        without the first, and readers that trim by number would drop the first when it comes again.
        Raises SendRefused, KafkaAway.
        """
        flows = asyncio.create_task(self._send_flows(message))
        both = {flows, asyncio.create_task(self._send_rates(message))}
        try:
            # Not cancelled when `flows` fails: aiokafka leaks a connection that it was just making.
            await asyncio.wait(both)
        finally:
            for task in both:
                task.cancel()
            await asyncio.wait(both)
        return flows.result()

    async def _send_flows(self, message: Message) -> Sent:
        return await self._flows.send(
            self._topic.name,
            partition=_partition(message, len(self.facts)),
            key=message.flow_range.worker.encode(),
            value=message.value,
            headers=[*message.headers, (LOG_HEADER, self.topic_id.encode())],
        )

    async def _send_rates(self, message: Message) -> None:
        if not message.rates:
            return
        if self._monotonic_s() < self._rates_again_at_s:
            self.rates_lost += 1
            return
        try:
            if not self._rates_started:
                # Deleted, it would be made only when `flows` is connected anew.
                await ensure_topics(self._brokers, [self._rates_topic], patience_s=RATES_START_S)
                await self._rates.start()
                self._rates_started = True
            await self._rates.send(
                self._rates_topic.name,
                partition=_partition(message, self._rates_partitions),
                key=message.flow_range.worker.encode(),
                value=message.rates,
                headers=message.rates_headers,
            )
        except (KafkaAway, SendRefused, TopicRefused) as error:
            log.warning("rates not sent worker=%s: %s", self._worker, error)
            self.rates_lost += 1
            self._rates_started = False
            self._rates_again_at_s = self._monotonic_s() + RATES_PAUSE_S

    async def stop(self) -> None:
        """Close both producers within a few seconds."""
        await self._flows.stop()
        await self._rates.stop()


def _partition(message: Message, partitions: int) -> int:
    """Return where a message stands: a stream stays where it began, also renamed since."""
    sent = message.flow_range
    # A topic made again with fewer partitions still takes the streams of the one before.
    return partition_of(sent.worker, sent.partitions) % max(1, partitions)


def _stream_of(record: Record) -> int | None:
    try:
        return decode_headers(record.headers).stream
    except MessageError:
        return None


def partition_of(worker: str, partitions: int) -> int:
    """Return the partition in which a worker's streams with this partition count stand."""
    return crc32(worker.encode()) % partitions

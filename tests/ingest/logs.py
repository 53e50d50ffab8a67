"""A log in memory that stands in for Kafka, and a reader that trims it by number as a central."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from services.ingest.publish.encode import Message
from shared.flow_message import FlowRange, decode_headers
from shared.kafka import KafkaAway, PartitionFacts, SendTooLarge, Sent
from tests.ingest.spools import read_batch, sorted_rows


@dataclass
class Log:
    """What the broker holds of one worker; outlives every publisher.

    others_at, others: where so many records of another worker stand.
    """

    topic_id: str = "first"
    messages: list[Message] = field(default_factory=list)
    rates: list[bytes] = field(default_factory=list)
    others_at: int = 0
    others: int = 0

    def end_offset(self) -> int:
        return len(self.messages) + self.others

    def is_of_another(self, offset: int) -> bool:
        return self.others_at <= offset < self.others_at + self.others

    def lose(self, messages: int, *, others: int) -> None:
        """Lose the tail; before its worker comes back another one publishes."""
        del self.messages[len(self.messages) - messages :]
        self.others_at, self.others = len(self.messages), others

    def make_again(self, topic_id: str) -> None:
        self.topic_id = topic_id
        self.messages.clear()


def never(_step: str) -> None:
    """Let every step pass."""


class LogPublisher:
    """Publishes to a `Log`. at: called before and after each step, may raise in the way of one."""

    def __init__(
        self, log: Log, *, at: Callable[[str], None] = never, value_bytes_max: int = 1 << 20
    ) -> None:
        self.log = log
        self.at = at
        self.value_bytes_max = value_bytes_max
        self.facts: list[PartitionFacts] = []
        self.rates_lost = 0
        self.stopped = False

    @property
    def topic_id(self) -> str:
        return self.facts[0].topic_id

    async def connect(self) -> list[PartitionFacts]:
        self.at("connect")
        return await self.look()

    async def look(self) -> list[PartitionFacts]:
        ends = [self.log.end_offset(), 0, 0, 0]
        self.facts = [PartitionFacts(self.log.topic_id, n, 0, end) for n, end in enumerate(ends)]
        return self.facts

    async def holds(self, offsets: Mapping[int, int], streams: Collection[int]) -> bool:
        return not any(map(self.log.is_of_another, offsets.values()))

    async def send(self, message: Message) -> Sent:
        self.at("before send")
        if len(message.value) > self.value_bytes_max:
            raise SendTooLarge("too large")
        self.log.messages.append(message)
        self.log.rates.append(message.rates)
        offset = self.log.end_offset() - 1
        self.at("after send")
        return Sent(0, offset, 0)

    async def stop(self) -> None:
        self.stopped = True


def failing_with(error: Callable[[], BaseException], *steps: int) -> Callable[[str], None]:
    """Return a hook that raises at the given steps, counted from 0 over all kinds.

    Once it raised what is no Exception, a kill, it does so for ever: nothing comes after that.
    """
    count = 0
    is_dead = False

    def at(_step: str) -> None:
        nonlocal count, is_dead
        count += 1
        if is_dead or count - 1 in steps:
            raised = error()
            is_dead = not isinstance(raised, Exception)
            raise raised

    return at


async def until(condition: Callable[[], bool], *, limit_s: float = 90) -> None:
    """Wait for what nobody announces: files and other processes."""
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.005)


def away() -> KafkaAway:
    return KafkaAway("away")


@dataclass
class Read:
    """What a reader has once it trimmed repeats by number, as a central does."""

    rows: pa.Table
    ranges: list[FlowRange]
    gaps: list[tuple[int, int, int]]
    ended: set[int]


def read_trimmed(messages: list[tuple[FlowRange, bytes]]) -> Read:
    """Apply messages in order: drop repeats, cut overlaps, note gaps."""
    last: dict[int, int] = {}
    batches: list[pa.RecordBatch] = []
    ranges: list[FlowRange] = []
    gaps: list[tuple[int, int, int]] = []
    ended: set[int] = set()
    for flow_range, value in messages:
        seen = last.get(flow_range.stream, 0)
        if flow_range.ended:
            ended.add(flow_range.stream)
        if flow_range.last <= seen:
            continue
        if flow_range.first > seen + 1:
            gaps.append((flow_range.stream, seen + 1, flow_range.first - 1))
        last[flow_range.stream] = flow_range.last
        ranges.append(flow_range)
        if value:
            batch = read_batch(value)
            batches.append(batch.filter(pc.greater(batch["datagram"], seen)))
    return Read(sorted_rows(batches), ranges, gaps, ended)


def read_log(log: Log) -> Read:
    """Read a log whose headers went over the wire."""
    return read_trimmed([(decode_headers(m.headers), m.value) for m in log.messages])

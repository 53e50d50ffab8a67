"""A broker in memory: topics of one partition, transactions with fencing, a clock that is set.

`log_contract` says what it has in common with Kafka.
"""

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from shared.kafka import Fenced

Value = TypeVar("Value")
Request = Callable[[], object]


class Stored(NamedTuple, Generic[Value]):
    """A record where it stands. append_ms: by the broker's clock, as with `LogAppendTime`."""

    offset: int
    append_ms: int
    value: Value


class MemoryBroker:
    """Does what it is asked at once, or when it thaws.

    now_ms: its clock, set by whoever has it. fences: False lets a producer go on that has lost its
    transactional id, for negative controls.
    """

    def __init__(self, *, fences: bool = True) -> None:
        """Begin at 0 ms, without a topic."""
        self.now_ms = 0
        self.fences = fences
        self.is_frozen = False
        self._waiting: list[Request] = []
        self._producers: dict[str, MemoryProducer] = {}

    def handle(self, request: Request) -> None:
        """Do what arrives; while frozen it waits in order of arrival."""
        if self.is_frozen:
            self._waiting.append(request)
        else:
            request()

    def freeze(self) -> None:
        """Stand still, as a process that is stopped."""
        self.is_frozen = True

    def thaw(self) -> None:
        """Go on with what waits."""
        self.is_frozen = False
        waiting, self._waiting = self._waiting, []
        for request in waiting:
            request()

    def init_producer(self, transactional_id: str) -> "MemoryProducer":
        """Give the id to a new producer: fences the one before and aborts what it has open."""
        before = self._producers.get(transactional_id)
        if before is not None:
            before.end(is_commit=False)
        producer = self._producers[transactional_id] = MemoryProducer(self, transactional_id)
        return producer

    def has_newest(self, transactional_id: str, producer: "MemoryProducer") -> bool:
        """Whether no other producer took the id since."""
        return self._producers.get(transactional_id) is producer


class MemoryTopic(Generic[Value]):
    """One partition; a topic that is made again is another object, with offsets from 0.

    records: by offset; None for the mark that ends a transaction, which takes an offset too.
    """

    def __init__(self, broker: MemoryBroker) -> None:
        """Begin empty. broker: whose clock is the log's."""
        self._broker = broker
        self.records: list[Stored[Value] | None] = []
        self._aborted: set[int] = set()
        self._open: dict[MemoryProducer, list[int]] = {}

    def append(self, value: Value, producer: "MemoryProducer | None" = None) -> Stored[Value]:
        """Append, in the open transaction of `producer` if one is named."""
        stored = Stored(len(self.records), self._broker.now_ms, value)
        self.records.append(stored)
        if producer is not None:
            self._open.setdefault(producer, []).append(stored.offset)
        return stored

    def read(self, offset: int, *, committed: bool) -> list[Stored[Value]]:
        """Return the records from `offset` on; with `committed` only those that stay for good.

        Those end where the first open transaction begins. Raises IndexError outside the log.
        """
        if not 0 <= offset <= len(self.records):
            raise IndexError(f"offset {offset} of {len(self.records)}")
        if not committed:
            return [record for record in self.records[offset:] if record is not None]
        stable = min((first for first, *_ in self._open.values()), default=len(self.records))
        return [
            record
            for record in self.records[offset:stable]
            if record is not None and record.offset not in self._aborted
        ]

    def close(self, producer: "MemoryProducer", *, is_commit: bool) -> None:
        """End the transaction of `producer`."""
        offsets = self._open.pop(producer)
        if not is_commit:
            self._aborted.update(offsets)
        self.records.append(None)


class MemoryProducer:
    """One holder of a transactional id; the next one fences it for good."""

    def __init__(self, broker: MemoryBroker, transactional_id: str) -> None:
        """Build it; `MemoryBroker.init_producer` makes it the holder."""
        self._broker = broker
        self._transactional_id = transactional_id
        self._open: dict[int, MemoryTopic[Any]] = {}

    def send(self, topic: MemoryTopic[Value], value: Value) -> Stored[Value]:
        """Append in the open transaction, or in a new one. Raises Fenced."""
        self._check()
        self._open[id(topic)] = topic
        return topic.append(value, self)

    def commit(self) -> None:
        """End the transaction: all of it stays. Raises Fenced."""
        self._check()
        self.end(is_commit=True)

    def end(self, *, is_commit: bool) -> None:
        """End the transaction whoever has the id now, as the broker does it."""
        for topic in self._open.values():
            topic.close(self, is_commit=is_commit)
        self._open.clear()

    def _check(self) -> None:
        if self._broker.fences and not self._broker.has_newest(self._transactional_id, self):
            raise Fenced(f"{self._transactional_id} belongs to another one by now")

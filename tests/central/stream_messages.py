"""Streams of datagrams, messages cut from them, and a log of such messages."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from services.central.messages import MINUTE_MS, Message, Place, examine
from shared.flow_message import FlowRange, encode_headers
from shared.flow_record import INSTANT
from shared.kafka import PartitionFacts
from shared.losses import Loss
from tests.central.flow_values import addresses

HOUR = 1_700_002_800_000
TOPIC_ID = "11111111-1111-1111-1111-111111111111"


@dataclass(frozen=True, slots=True)
class Datagram:
    number: int
    at_ms: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One life of a receiver. ends: its last datagram is the end mark."""

    id: int
    datagrams: tuple[Datagram, ...]
    ends: bool = False
    worker: str = "c/0"

    @property
    def rows(self) -> dict[tuple[int, int, int], int]:
        """Every row, (stream, number, index in its datagram), once."""
        return {(self.id, d.number, i): 1 for d in self.datagrams for i in range(d.rows)}


@dataclass(frozen=True, slots=True)
class Sent:
    """One message as a collector sends it."""

    range: FlowRange
    value: bytes = field(repr=False)

    def at(
        self,
        offset: int,
        *,
        append_ms: int | None = None,
        partition: int = 0,
        topic_id: str = TOPIC_ID,
    ) -> Message:
        at_ms = self.range.latest_ms + 10 if append_ms is None else append_ms
        place = Place(topic_id, partition, offset, at_ms)
        return examine(place, encode_headers(self.range), self.value)


def a_stream(
    stream: int = 1, *, at_ms: Sequence[int], rows: int = 2, ends: bool = False, worker: str = "c/0"
) -> Stream:
    """Return a stream with one datagram at each of `at_ms` after HOUR."""
    datagrams = [Datagram(n, HOUR + at, rows) for n, at in enumerate(at_ms, start=1)]
    if ends:
        last = datagrams[-1]
        datagrams.append(Datagram(last.number + 1, last.at_ms, 0))
    return Stream(id=stream, datagrams=tuple(datagrams), ends=ends, worker=worker)


def send(
    stream: Stream, first: int, last: int, *, losses: tuple[Loss, ...] = (), **changes: object
) -> Sent:
    """Return the message of datagrams `first..last`, which must be of one minute."""
    datagrams = [d for d in stream.datagrams if first <= d.number <= last]
    rows = sum(d.rows for d in datagrams)
    named = FlowRange(
        stream=stream.id,
        worker=stream.worker,
        first=first,
        last=last,
        rows=rows,
        earliest_ms=min(d.at_ms for d in datagrams),
        latest_ms=max(d.at_ms for d in datagrams),
        started_at_ms=stream.datagrams[0].at_ms,
        partitions=1,
        ended=stream.ends and last == stream.datagrams[-1].number,
        losses=losses,
    )
    value = _value(stream, datagrams) if rows else b""
    return Sent(replace(named, **changes), value)  # type: ignore[arg-type]  # fields of FlowRange


def cut(stream: Stream, cuts: frozenset[int] = frozenset(), *, first: int = 1) -> list[Sent]:
    """Return the messages from datagram `first` on, cut after each number in `cuts` and minute."""
    sent = []
    begin = None
    datagrams = [d for d in stream.datagrams if d.number >= first]
    for now, following in zip(datagrams, [*datagrams[1:], None], strict=True):
        begin = now.number if begin is None else begin
        if (
            following is None
            or now.number in cuts
            or following.at_ms // MINUTE_MS != now.at_ms // MINUTE_MS
        ):
            sent.append(send(stream, begin, now.number))
            begin = None
    return sent


def log_of(sent: Sequence[Sent], *, start: int = 0, topic_id: str = TOPIC_ID) -> list[Message]:
    return [each.at(start + n, topic_id=topic_id) for n, each in enumerate(sent)]


def facts_of(log: Sequence[Message], *, start: int = 0) -> list[PartitionFacts]:
    topic_id = log[0].place.topic_id if log else TOPIC_ID
    return [PartitionFacts(topic_id, 0, start, start + len(log))]


def value_of(
    stream: int, numbers: Sequence[int], at_ms: Sequence[int], *, bytes_each: Sequence[int]
) -> bytes:
    """Return an Arrow stream with one row for each number."""
    rows = len(numbers)
    instants = pa.array(np.asarray(at_ms, np.int64)).cast(INSTANT)
    collector = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), pa.array(["c/0"]))
    batch = pa.record_batch(
        {
            "received_at": instants,
            "collector": collector,
            "stream": pa.array(np.full(rows, stream, np.uint64)),
            "datagram": pa.array(np.asarray(numbers, np.uint64)),
            "exporter": addresses([1] * rows),
            "export_version": pa.array(np.full(rows, 9, np.uint8)),
            "in_if": pa.array(np.full(rows, 3, np.uint32)),
            "bytes": pa.array(np.asarray(bytes_each, np.uint64)),
            "packets": pa.array(np.ones(rows, np.uint64)),
        }
    )
    return arrow(batch)


def arrow(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def _value(stream: Stream, datagrams: Sequence[Datagram]) -> bytes:
    # `bytes` is the row's index in its datagram, so that every row can be told from the others.
    return value_of(
        stream.id,
        [d.number for d in datagrams for _ in range(d.rows)],
        [d.at_ms for d in datagrams for _ in range(d.rows)],
        bytes_each=[i for d in datagrams for i in range(d.rows)],
    )

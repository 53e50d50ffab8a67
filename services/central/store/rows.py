"""Rows that the central itself writes: losses and quarantined messages, as Arrow."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from shared.flow_record import ADDRESS, INSTANT

QUARANTINE_PREFIX_BYTES = 256
"""Enough of a quarantined message to recognise what it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossRow:
    """One loss of one message's range.

    first, last: the range of the message, both inclusive. minute_ms: start of its minute, UTC.
    exporter: 16 bytes. reason: a `LossReason` code. flows: 0 where nobody can know.
    """

    stream: int
    first: int
    last: int
    minute_ms: int
    exporter: bytes
    reason: int
    datagrams: int
    flows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineRow:
    """One message on `flows` that was no Arrow stream. seen_at_ms: its append time, UTC."""

    topic_id: str
    partition: int
    offset: int
    seen_at_ms: int
    reason: str
    value: bytes


def losses_batch(rows: Sequence[LossRow]) -> pa.RecordBatch:
    """Return the rows of `losses` as columns of that table."""
    return pa.record_batch(
        {
            "stream": pa.array([row.stream for row in rows], pa.uint64()),
            "first": pa.array([row.first for row in rows], pa.uint64()),
            "last": pa.array([row.last for row in rows], pa.uint64()),
            "minute": pa.array([row.minute_ms // 1000 for row in rows], pa.uint32()),
            "exporter": pa.array([row.exporter for row in rows], ADDRESS),
            "reason": pa.array([row.reason for row in rows], pa.uint8()),
            "datagrams": pa.array([row.datagrams for row in rows], pa.uint64()),
            "flows": pa.array([row.flows for row in rows], pa.uint64()),
        }
    )


def quarantine_batch(rows: Sequence[QuarantineRow]) -> pa.RecordBatch:
    """Return the rows of `quarantine` as columns of that table."""
    prefixes = [row.value[:QUARANTINE_PREFIX_BYTES] for row in rows]
    return pa.record_batch(
        {
            "topic_id": pa.array([row.topic_id for row in rows], pa.string()),
            "partition": pa.array([row.partition for row in rows], pa.uint32()),
            "offset": pa.array([row.offset for row in rows], pa.uint64()),
            "seen_at": pa.array([row.seen_at_ms for row in rows], pa.int64()).cast(INSTANT),
            "reason": pa.array([row.reason for row in rows], pa.string()),
            "bytes": pa.array([len(row.value) for row in rows], pa.uint64()),
            "prefix": pa.array(prefixes, pa.binary()),
        }
    )


def encode_stream(batch: pa.RecordBatch) -> bytes:
    """Return the Arrow stream of one batch."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()

"""The verdict on one message of `flows`, from its own bytes and append time alone.

Every central comes to the same verdict on the same message, whatever it applied before.
"""

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shared.flow_message import (
    LOG_HEADER,
    SCHEMA_VERSION,
    FlowRange,
    Headers,
    MessageError,
    decode_headers,
)
from shared.flow_record import unknown_columns

MINUTE_MS = 60_000
LATE_MS = 7 * 24 * 60 * MINUTE_MS
"""A message whose newest record is older than this when it is appended is refused.

A constant, below the 8 days after which an open minute is closed as it stands: a closed minute
never gets another row.
"""
_CHECKED = ("stream", "datagram", "received_at")
_SEEN = ("exporter", "export_version", "in_if", "out_if")


class Verdict(Enum):
    """What a message is good for."""

    GOOD = "good"
    LATE = "late"
    QUARANTINED = "quarantined"
    STRAY = "stray"
    """Sent for a topic that was made again since; its sender sends it again."""
    UNKNOWN = "unknown"
    """Made by a newer release: the central stops here."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message stands in the log. append_ms: the broker's append time, UTC."""

    topic_id: str
    partition: int
    offset: int
    append_ms: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What a message shows of the network.

    exporters: (16 address bytes, export version); interfaces: (16 address bytes, ifIndex).
    """

    exporters: frozenset[tuple[bytes, int]] = frozenset()
    interfaces: frozenset[tuple[bytes, int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Message:
    """A message and its verdict.

    range: None where the headers name none. why: a sentence, empty for a good one.
    columns: of the value, in its order. rows_until: largest number that has a row, 0 for none;
    known of a good message only.
    """

    place: Place
    range: FlowRange | None
    value: bytes = field(repr=False)
    verdict: Verdict
    why: str = ""
    columns: tuple[str, ...] = ()
    rows_until: int = 0
    seen: Seen = Seen()


class _NotARange(ValueError):
    """The value is not the one Arrow batch that the headers promise."""


def examine(place: Place, headers: Headers, value: bytes) -> Message:
    """Return the message with its verdict. Never raises, whatever the bytes are."""
    newer = _newer_version(headers)
    if newer:
        return Message(place, None, value, Verdict.UNKNOWN, newer)
    meant = dict(headers).get(LOG_HEADER)
    if meant is not None and meant != place.topic_id.encode():
        return Message(place, None, value, Verdict.STRAY, "sent for another log")
    try:
        named = decode_headers(headers)
    except MessageError as error:
        return Message(place, None, value, Verdict.QUARANTINED, str(error))
    if named.latest_ms // MINUTE_MS != named.earliest_ms // MINUTE_MS:
        why = f"range of more than one minute: {named.earliest_ms}..{named.latest_ms}"
        return Message(place, None, value, Verdict.QUARANTINED, why)
    if place.append_ms - named.latest_ms > LATE_MS:
        return Message(place, named, value, Verdict.LATE, "older than 7 days when appended")
    if not named.rows and not value:
        return Message(place, named, value, Verdict.GOOD)
    try:
        schema = pa.ipc.open_stream(value).schema
        unknown = unknown_columns(schema)
        if unknown:
            return Message(place, named, value, Verdict.UNKNOWN, f"columns {', '.join(unknown)}")
        rows_until, seen = _check(named, schema, value)
    except (pa.ArrowException, OSError, ValueError) as error:
        return Message(place, named, value, Verdict.QUARANTINED, f"no Arrow: {error}"[:200])
    columns = tuple(schema.names)
    return Message(
        place, named, value, Verdict.GOOD, columns=columns, rows_until=rows_until, seen=seen
    )


def _newer_version(headers: Headers) -> str:
    version = dict(headers).get("v")
    # A header may be without a value, and int() refuses thousands of digits.
    if version and version.isdigit() and len(version) < 10 and int(version) > SCHEMA_VERSION:
        return f"schema version {int(version)} of a message"
    return ""


def _check(named: FlowRange, schema: pa.Schema, value: bytes) -> tuple[int, Seen]:
    """Check that the rows are those of the range; the largest number, and what they show.

    A row outside its range would be trimmed or counted wrongly for ever. Only the columns that
    say so are read: all of them would cost a third of an insert, these few a twentieth.
    """
    if len(set(schema.names)) < len(schema.names):
        raise _NotARange("a column stands there twice")
    names = [name for name in (*_CHECKED, *_SEEN) if name in schema.names]
    missing = {*_CHECKED, "exporter", "export_version"}.difference(names)
    if missing:
        raise _NotARange(f"columns {', '.join(sorted(missing))} are missing")
    fields = [schema.names.index(name) for name in names]
    options = pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False)
    batches = list(pa.ipc.open_stream(value, options=options))
    if len(batches) != 1 or batches[0].num_rows != named.rows or not named.rows:
        rows = [batch.num_rows for batch in batches]
        raise _NotARange(f"batches of {rows} rows where the headers say {named.rows}")
    (batch,) = batches
    if any(batch[name].null_count for name in names):
        raise _NotARange("nulls")
    for name, low, high in (
        ("stream", named.stream, named.stream),
        ("datagram", named.first, named.last),
        ("received_at", named.earliest_ms, named.latest_ms),
    ):
        column = batch[name]
        ends = pc.min_max(column.cast(pa.int64()) if name == "received_at" else column).as_py()
        if ends["min"] < low or ends["max"] > high:
            raise _NotARange(f"{name} {ends['min']}..{ends['max']} is not within {low}..{high}")
    return int(pc.max(batch["datagram"]).as_py()), _look(batch)


def _look(batch: pa.RecordBatch) -> Seen:
    exporters = batch["exporter"].dictionary_encode()
    addresses = exporters.dictionary.to_pylist()
    code = exporters.indices.to_numpy().astype(np.uint64) << np.uint64(32)

    def pairs(name: str) -> frozenset[tuple[bytes, int]]:
        if name not in batch.schema.names:
            return frozenset()
        unique = np.unique(code | batch[name].to_numpy().astype(np.uint64)).tolist()
        return frozenset((addresses[pair >> 32], pair & 0xFFFFFFFF) for pair in unique)

    return Seen(pairs("export_version"), pairs("in_if") | pairs("out_if"))

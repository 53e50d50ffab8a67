"""From decoded columns to the bytes of the messages on `flows` and `rates`, pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa

from services.ingest.spool.reader import SpoolPosition
from shared.flow_message import FlowRange, encode_headers

if TYPE_CHECKING:
    from services.ingest.decode.decoding import Decoded

Change = tuple[str, str | None]

# A record batch in Kafka's log: 61 bytes, and up to 24 of lengths and deltas for its one record;
# each header has two lengths of up to 5 bytes.
_BATCH_BYTES = 85
_HEADER_BYTES = 10

# Other levels cost as much and other codecs twice the bytes; threads cost more than they save.
_OPTIONS = pa.ipc.IpcWriteOptions(compression="zstd", use_threads=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One range ready to be sent.

    value, rates: Arrow IPC streams, empty when the range gave nothing. rates_rows: rows of `rates`.
    after: where the spool goes on behind it. latest_ms: newest `received_at` of the stream so far.
    changes: of the decoder's state. decoded: what it was made from, for the counters.
    records: how many records of the spool it covers.
    """

    flow_range: FlowRange
    value: bytes
    rates: bytes
    rates_rows: int
    after: SpoolPosition
    latest_ms: int
    changes: tuple[Change, ...] = ()
    decoded: "Decoded | None" = None
    records: int = 0

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """Headers of the message on `flows`."""
        return encode_headers(self.flow_range)

    @property
    def rates_headers(self) -> list[tuple[str, bytes]]:
        """Headers of the message on `rates`: the same range; losses stand on `flows` alone."""
        return encode_headers(replace(self.flow_range, rows=self.rates_rows, losses=()))


@dataclass(frozen=True, slots=True)
class Encoded:
    """The parts of a message that come from its rows. flow_range: with rows and losses filled."""

    flow_range: FlowRange
    value: bytes
    rates: bytes
    rates_rows: int


def encode_range(flow_range: FlowRange, decoded: "Decoded") -> Encoded:
    """Return what a range says and carries once it is decoded."""
    sums = decoded.sums
    return Encoded(
        replace(flow_range, rows=decoded.rows, losses=tuple(decoded.losses)),
        encode_batch(decoded.batch),
        encode_batch(sums),
        0 if sums is None else sums.num_rows,
    )


def encode_batch(batch: pa.RecordBatch | None) -> bytes:
    """Return `batch` as an Arrow IPC stream with zstd; no bytes when it is None or has no rows."""
    if batch is None or batch.num_rows == 0:
        return b""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=_OPTIONS) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def message_bytes(key: bytes, value: bytes, headers: Sequence[tuple[str, bytes]]) -> int:
    """Return an upper bound of what one message takes in Kafka's log, headers included."""
    named = sum(len(name.encode()) + len(text) + _HEADER_BYTES for name, text in headers)
    return _BATCH_BYTES + len(key) + len(value) + named

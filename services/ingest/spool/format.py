"""The bytes of the spool: segment headers and records, pure.

A segment file is a header of `HEADER_BYTES`, then records one after the other. A segment belongs to
one stream. Every record is checked by a CRC that starts from the stream's id: bytes inside a
datagram that look like a record, or a record of another stream, never pass for one.
"""

import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple
from zlib import crc32

from shared.addresses import UNSPECIFIED, format_address, pack_address
from shared.losses import Loss, LossReason

RECORD_MAGIC = b"\xf5\xc3SR"
SEGMENT_MAGIC = b"\xf5\xc3SPOOL1"

# magic, CRC of all that follows, payload bytes, number, received_at, kind, port, exporter.
RECORD = struct.Struct("<4sIIQQBxH16s")
PREFIX = struct.Struct("<4sI")
BODY = struct.Struct("<IQQBxH16s")
RECORD_HEADER_BYTES = RECORD.size
PAYLOAD_BYTES_MAX = 65_535
"""The length field of UDP has 16 bits; marks stay below it too."""
RECORD_BYTES_MAX = RECORD_HEADER_BYTES + PAYLOAD_BYTES_MAX

# magic, CRC of all that follows, stream, started_at, first number, socket cookie, socket drops,
# partitions, bytes of the worker's name.
_HEADER = struct.Struct("<8sIQQQQQIH")
_HEADER_COPY_BYTES = 256
HEADER_BYTES = 2 * _HEADER_COPY_BYTES
"""The header stands there twice, so that one damaged sector does not cost the whole segment."""
WORKER_BYTES_MAX = _HEADER_COPY_BYTES - _HEADER.size


class RecordKind(IntEnum):
    """What a record says. Codes are stored: never change or reuse one."""

    DATAGRAM = 0
    OPEN = 1
    CLOCK = 2
    LOSS = 3
    END = 4


_KINDS = tuple(RecordKind)


class SpoolRecord(NamedTuple):
    """One record of a stream; the payload of a datagram is what the exporter sent.

    number: from 1 in its stream, without holes. received_at_ms: UTC, never falls within a stream.
    exporter: 16 bytes, `::` in marks. payload: a view into the chunk it was read with.
    """

    kind: RecordKind
    number: int
    received_at_ms: int
    exporter: bytes
    port: int
    payload: bytes | memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentHeader:
    """What a segment says of the stream it belongs to.

    stream: random 64-bit id; worker: `name/index`; started_at_ms: when the stream began, UTC.
    partitions: partition count of the topic that holds for the whole stream.
    first_number: number of the segment's first record.
    socket_cookie, socket_drops: the kernel's name for the socket, and the drops of it that stand in
        marks before this segment (modulo 2**32, as the kernel counts).
    """

    stream: int
    worker: str
    started_at_ms: int
    partitions: int
    first_number: int
    socket_cookie: int = 0
    socket_drops: int = 0


def encode_header(header: SegmentHeader) -> bytes:
    """Return the `HEADER_BYTES` of a segment; ValueError when the worker's name is too long."""
    worker = header.worker.encode()
    if len(worker) > WORKER_BYTES_MAX:
        raise ValueError(f"worker name of {len(worker)} bytes, {WORKER_BYTES_MAX} fit")
    fields = (
        header.stream,
        header.started_at_ms,
        header.first_number,
        header.socket_cookie,
        header.socket_drops,
        header.partitions,
        len(worker),
    )
    copy = bytearray(_HEADER.pack(SEGMENT_MAGIC, 0, *fields) + worker)
    copy.extend(bytes(_HEADER_COPY_BYTES - len(copy)))
    struct.pack_into("<I", copy, 8, crc32(copy[12:]))
    return bytes(copy) * 2


def decode_header(data: bytes) -> SegmentHeader | None:
    """Read a segment's header from its first `HEADER_BYTES`; None when both copies are damaged."""
    for start in (0, _HEADER_COPY_BYTES):
        copy = data[start : start + _HEADER_COPY_BYTES]
        if len(copy) < _HEADER_COPY_BYTES:
            return None
        magic, crc, stream, started_at_ms, first, cookie, drops, partitions, length = (
            _HEADER.unpack_from(copy)
        )
        if magic == SEGMENT_MAGIC and crc == crc32(copy[12:]):
            return SegmentHeader(
                stream=stream,
                worker=copy[_HEADER.size : _HEADER.size + length].decode(),
                started_at_ms=started_at_ms,
                partitions=partitions,
                first_number=first,
                socket_cookie=cookie,
                socket_drops=drops,
            )
    return None


def crc_seed(stream: int) -> int:
    """Return what the CRC of every record of `stream` starts from."""
    return crc32(stream.to_bytes(8, "little"))


def encode_record(
    seed: int,
    kind: RecordKind,
    number: int,
    received_at_ms: int,
    exporter: bytes = UNSPECIFIED,
    port: int = 0,
    payload: bytes = b"",
) -> bytes:
    """Return the bytes of one record; `seed` is `crc_seed` of its stream."""
    body = BODY.pack(len(payload), number, received_at_ms, kind, port, exporter) + payload
    return PREFIX.pack(RECORD_MAGIC, crc32(body, seed)) + body


def decode_records(view: memoryview, seed: int, records: list[SpoolRecord], ends: list[int]) -> int:
    """Append the good records from the start of `view`, and the offset after each.

    Returns the offset of the first byte that belongs to no good record: `len(view)`, or where a
    damaged or unfinished one begins.
    """
    size = len(view)
    offset = 0
    unpack_from = RECORD.unpack_from
    # SpoolRecord's own constructor is a function in Python: half the cost of this loop.
    new = tuple.__new__
    while offset + RECORD_HEADER_BYTES <= size:
        magic, crc, length, number, at_ms, kind, port, exporter = unpack_from(view, offset)
        start = offset + RECORD_HEADER_BYTES
        end = start + length
        if (
            magic != RECORD_MAGIC
            or length > PAYLOAD_BYTES_MAX
            or end > size
            or crc32(view[offset + 8 : end], seed) != crc
            or kind >= len(_KINDS)
        ):
            break
        fields = (_KINDS[kind], number, at_ms, exporter, port, view[start:end])
        records.append(new(SpoolRecord, fields))
        ends.append(end)
        offset = end
    return offset


def find_record(data: bytes, seed: int, start: int) -> int | None:
    """Return the offset of the first good record at or after `start`; None when there is none."""
    view = memoryview(data)
    offset = data.find(RECORD_MAGIC, start)
    while offset >= 0:
        if decode_records(view[offset : offset + RECORD_BYTES_MAX], seed, [], []) > 0:
            return offset
        offset = data.find(RECORD_MAGIC, offset + 1)
    return None


def encode_losses(losses: Iterable[Loss]) -> bytes:
    """Return the payload of a LOSS mark."""
    rows = [
        [format_address(loss.exporter), int(loss.reason), loss.datagrams, loss.flows]
        for loss in losses
    ]
    return json.dumps(rows, separators=(",", ":")).encode()


def decode_losses(payload: bytes | memoryview) -> tuple[Loss, ...]:
    """Read the payload of a LOSS mark."""
    return tuple(
        Loss(pack_address(exporter), LossReason(reason), datagrams, flows)
        for exporter, reason, datagrams, flows in json.loads(bytes(payload))
    )


def encode_partitions(partitions: int) -> bytes:
    """Return the payload of an OPEN mark."""
    return json.dumps({"partitions": partitions}).encode()

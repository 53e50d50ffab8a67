"""What a receiver does for the stream of the one before it, which may have been killed."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from services.ingest.spool.format import (
    HEADER_BYTES,
    RecordKind,
    SegmentHeader,
    SpoolRecord,
    crc_seed,
    decode_losses,
    decode_records,
    encode_record,
    find_record,
)
from services.ingest.spool.reader import Segment, segments
from services.ingest.spool.writer import create_segment
from shared.losses import LossReason

Checkpoint = tuple[int, int]
"""Stream and number of the last range that Kafka acknowledged to the decoder."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """The spool after the last stream was ended.

    next_segment: None when there is no segment at all.
    socket_cookie, socket_drops: the socket of the last stream, and its drops that stand in marks.
    stream, number: the last stream, and its last good record that is no END mark.
    """

    next_segment: int | None = None
    socket_cookie: int = 0
    socket_drops: int = 0
    stream: int = 0
    number: int = 0


@dataclass(frozen=True, slots=True)
class _Tail:
    """The good part of a segment: where it ends, its last record, the kernel drops in its marks."""

    end: int
    last: SpoolRecord | None
    kernel_drops: int


def end_last_stream(
    directory: Path,
    checkpoint: Checkpoint | None,
    *,
    cut: bool = True,
    mark: bool = True,
) -> Recovered:
    """End the newest stream in `directory` if it has no END mark; nobody else may write there.

    Cuts a half-written record off its tail, then appends the END mark: its number is one above the
    larger of the spool's last and the checkpoint's (a machine that lost power may have lost a tail
    of the spool that Kafka has), its time that of the last record. A newest segment that is damaged
    from its first byte is left alone, and the mark goes into a new segment of the stream before.
    Raises OSError, also for a full disk. cut, mark: for tests that show what each is good for.
    """
    for leftover in directory.glob("*.new"):
        leftover.unlink()
    kept = segments(directory)
    if not kept:
        return Recovered()
    next_segment = kept[-1].segment + 1
    readable = [segment for segment in kept if segment.header is not None]
    if not readable:
        return Recovered(next_segment)
    newest = readable[-1]
    header = newest.header
    assert header is not None
    tail = _read_tail(newest, header)
    number, received_at_ms = _last_known(readable, header)
    recovered = Recovered(
        next_segment,
        header.socket_cookie,
        (header.socket_drops + tail.kernel_drops) % (1 << 32),
        header.stream,
        number - 1 if tail.last is not None and tail.last.kind is RecordKind.END else number,
    )
    if cut and newest is kept[-1]:
        os.truncate(newest.path, tail.end)
    if (tail.last is not None and tail.last.kind is RecordKind.END) or not mark:
        return recovered
    if checkpoint is not None and checkpoint[0] == header.stream:
        number = max(number, checkpoint[1])
    record = encode_record(crc_seed(header.stream), RecordKind.END, number + 1, received_at_ms)
    if newest is kept[-1]:
        with newest.path.open("ab", buffering=0) as file:
            _write_all(file.fileno(), record)
        return recovered
    end_header = replace(header, first_number=number + 1, socket_drops=recovered.socket_drops)
    os.close(create_segment(directory, next_segment, end_header, record))
    return replace(recovered, next_segment=next_segment + 1)


def good_records(data: bytes, seed: int) -> Iterator[tuple[SpoolRecord, int]]:
    """Yield each good record in `data` and the offset after it, passing over damaged bytes."""
    view = memoryview(data)
    offset: int | None = 0
    while offset is not None:
        records: list[SpoolRecord] = []
        ends: list[int] = []
        decode_records(view[offset:], seed, records, ends)
        for record, end in zip(records, ends, strict=True):
            yield record, offset + end
        offset = find_record(data, seed, offset + (ends[-1] if ends else 1))


def _read_tail(segment: Segment, header: SegmentHeader) -> _Tail:
    data = segment.path.read_bytes()[HEADER_BYTES:]
    last, end, drops = None, 0, 0
    for record, after in good_records(data, crc_seed(header.stream)):
        last, end = record, after
        if record.kind is RecordKind.LOSS:
            losses = decode_losses(record.payload)
            drops += sum(x.datagrams for x in losses if x.reason is LossReason.KERNEL_DROP)
    return _Tail(HEADER_BYTES + end, last, drops)


def _last_known(readable: list[Segment], header: SegmentHeader) -> tuple[int, int]:
    """Return number and time of the stream's last good record, looked for backwards."""
    for segment in reversed(readable):
        if segment.header is None or segment.header.stream != header.stream:
            break
        tail = _read_tail(segment, segment.header)
        if tail.last is not None:
            number = max(tail.last.number, header.first_number - 1)
            return number, tail.last.received_at_ms
    return header.first_number - 1, header.started_at_ms


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]

"""Tailing a spool while it is written, damaged, deleted."""

import os
from pathlib import Path

import pytest

from services.ingest.spool.format import (
    HEADER_BYTES,
    RecordKind,
    SegmentHeader,
    crc_seed,
    encode_record,
)
from services.ingest.spool.reader import (
    SPOOL_START,
    SpoolChunk,
    SpoolPosition,
    SpoolReader,
    oldest_position,
    segment_path,
    segments,
    spool_bytes,
)
from services.ingest.spool.writer import create_segment

STREAM = 77
SEED = crc_seed(STREAM)


def record(number: int, payload: bytes = b"payload") -> bytes:
    return encode_record(SEED, RecordKind.DATAGRAM, number, 1_000 + number, payload=payload)


def write_segment(directory: Path, segment: int, first: int, data: bytes) -> None:
    header = SegmentHeader(
        stream=STREAM, worker="w/0", started_at_ms=1, partitions=4, first_number=first
    )
    os.close(create_segment(directory, segment, header, data))


def append(directory: Path, segment: int, data: bytes) -> None:
    with segment_path(directory, segment).open("ab") as file:
        file.write(data)


def read(reader: SpoolReader, position: SpoolPosition, bytes_max: int = 1 << 20) -> SpoolChunk:
    chunk = reader.read(position, bytes_max=bytes_max)
    assert chunk is not None
    return chunk


def numbers(chunk: SpoolChunk) -> list[int]:
    return [record.number for record in chunk.records]


def test_a_missing_spool_is_nothing_yet(tmp_path: Path) -> None:
    reader = SpoolReader(tmp_path / "none")
    assert reader.read(SPOOL_START) is None
    assert segments(tmp_path / "none") == []
    assert oldest_position(tmp_path) == SPOOL_START


def test_the_live_segment_is_read_as_it_grows(tmp_path: Path) -> None:
    write_segment(tmp_path, 5, 1, record(1))
    reader = SpoolReader(tmp_path)
    chunk = read(reader, SPOOL_START)
    assert numbers(chunk) == [1]
    assert chunk.header.stream == STREAM
    assert chunk.at_tail
    half = record(2)
    append(tmp_path, 5, half[:30])
    chunk = read(reader, chunk.next)
    assert (numbers(chunk), chunk.at_tail, chunk.corrupt_bytes) == ([], True, 0)
    append(tmp_path, 5, half[30:] + record(3))
    chunk = read(reader, chunk.next)
    assert numbers(chunk) == [2, 3]
    assert chunk.next == SpoolPosition(5, chunk.ends[-1])


def test_a_sealed_segment_leads_to_the_next(tmp_path: Path) -> None:
    write_segment(tmp_path, 5, 1, record(1))
    write_segment(tmp_path, 9, 2, record(2))
    reader = SpoolReader(tmp_path)
    chunk = read(reader, SPOOL_START)
    assert (numbers(chunk), chunk.at_tail) == ([1], False)
    chunk = read(reader, chunk.next)
    assert (numbers(chunk), chunk.next) == ([], SpoolPosition(9, HEADER_BYTES))
    assert numbers(read(reader, chunk.next)) == [2]


def test_damage_in_a_sealed_segment_is_counted_and_passed_over(tmp_path: Path) -> None:
    data = bytearray(record(1) + record(2) + record(3))
    size = len(record(1))
    data[size + 20] ^= 1
    write_segment(tmp_path, 1, 1, bytes(data) + b"half a record")
    write_segment(tmp_path, 2, 4, record(4))
    reader = SpoolReader(tmp_path)
    chunk = read(reader, SPOOL_START)
    assert (numbers(chunk), chunk.corrupt_bytes) == ([1], 0)
    chunk = read(reader, chunk.next)
    assert (numbers(chunk), chunk.corrupt_bytes) == ([3], size)
    chunk = read(reader, chunk.next)
    assert (numbers(chunk), chunk.corrupt_bytes) == ([], len(b"half a record"))
    assert numbers(read(reader, chunk.next)) == [4]


def test_a_segment_without_a_readable_header_is_passed_over_once_sealed(tmp_path: Path) -> None:
    write_segment(tmp_path, 1, 1, record(1))
    size = segment_path(tmp_path, 1).stat().st_size
    segment_path(tmp_path, 1).write_bytes(bytes(size))
    reader = SpoolReader(tmp_path)
    assert reader.read(SPOOL_START) is None
    write_segment(tmp_path, 2, 2, record(2))
    chunk = read(reader, SPOOL_START)
    assert (numbers(chunk), chunk.corrupt_bytes) == ([2], size)


def test_small_reads_give_the_same_records(tmp_path: Path) -> None:
    large = bytes(65_535)
    write_segment(tmp_path, 1, 1, b"".join(record(n, large) for n in range(1, 6)))
    reader = SpoolReader(tmp_path)
    position, found = SPOOL_START, []
    while True:
        chunk = read(reader, position, bytes_max=1)
        found += numbers(chunk)
        position = chunk.next
        if chunk.at_tail:
            break
    assert found == [1, 2, 3, 4, 5]
    assert position.offset == spool_bytes(tmp_path)


def test_reading_goes_on_from_any_record(tmp_path: Path) -> None:
    write_segment(tmp_path, 1, 1, record(1) + record(2) + record(3))
    chunk = read(SpoolReader(tmp_path), SPOOL_START)
    for index, end in enumerate(chunk.ends):
        rest = read(SpoolReader(tmp_path), SpoolPosition(1, end))
        assert numbers(rest) == [1, 2, 3][index + 1 :]


def test_a_deleted_segment_is_read_to_its_end_while_it_is_open(tmp_path: Path) -> None:
    write_segment(tmp_path, 8, 1, record(1))
    reader = SpoolReader(tmp_path)
    chunk = read(reader, SPOOL_START)
    append(tmp_path, 8, record(2))
    segment_path(tmp_path, 8).unlink()
    chunk = read(reader, chunk.next)
    assert numbers(chunk) == [2]
    write_segment(tmp_path, 9, 3, record(3))
    chunk = read(reader, chunk.next)
    assert numbers(read(reader, chunk.next)) == [3]


@pytest.mark.parametrize("opened", [True, False])
def test_a_spool_made_anew_is_read_from_its_start(tmp_path: Path, opened: bool) -> None:
    write_segment(tmp_path, 8, 1, record(1))
    reader = SpoolReader(tmp_path)
    position = read(reader, SPOOL_START).next if opened else SpoolPosition(8, HEADER_BYTES)
    segment_path(tmp_path, 8).unlink()
    write_segment(tmp_path, 2, 1, record(1))
    chunk = read(reader, position)
    if opened:
        chunk = read(reader, chunk.next)
    assert (chunk.segment, numbers(chunk)) == (2, [1])

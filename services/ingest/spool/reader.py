"""Reading the spool: the decoder's tail over the segment files of one worker."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from services.ingest.spool.format import (
    HEADER_BYTES,
    RECORD_BYTES_MAX,
    SegmentHeader,
    SpoolRecord,
    crc_seed,
    decode_header,
    decode_records,
    find_record,
)

SEGMENT_SUFFIX = ".seg"


@dataclass(frozen=True, slots=True, order=True)
class SpoolPosition:
    """A place between two records: the segment's sequence number and an offset in its file.

    Segment numbers grow over a worker's life. `SpoolPosition(0, 0)` is before everything.
    """

    segment: int
    offset: int


SPOOL_START = SpoolPosition(0, 0)


@dataclass(frozen=True, slots=True)
class SpoolChunk:
    """Records that follow one another in one segment.

    ends: offset in the segment's file after each record.
    next: where to read on. at_tail: everything written so far was read; ask again later.
    corrupt_bytes: bytes that were passed over before `records` because no good record was in them.
    """

    header: SegmentHeader
    segment: int
    records: list[SpoolRecord]
    ends: list[int]
    next: SpoolPosition
    at_tail: bool
    corrupt_bytes: int


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment file. header is None when both its copies are damaged."""

    segment: int
    bytes: int
    header: SegmentHeader | None
    path: Path


def segment_path(directory: Path, segment: int) -> Path:
    """Return the file of a segment."""
    return directory / f"{segment:012d}{SEGMENT_SUFFIX}"


def segment_numbers(directory: Path) -> list[int]:
    """Return the numbers of the kept segments, oldest first; empty when there is no spool."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    stems = (name.removesuffix(SEGMENT_SUFFIX) for name in names if name.endswith(SEGMENT_SUFFIX))
    return sorted(int(stem) for stem in stems if stem.isdigit())


def segments(directory: Path) -> list[Segment]:
    """Return the kept segments, oldest first. One that vanishes meanwhile is left out."""
    found = []
    for number in segment_numbers(directory):
        path = segment_path(directory, number)
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            found.append(Segment(number, size, decode_header(file.read(HEADER_BYTES)), path))
    return found


def oldest_position(directory: Path) -> SpoolPosition:
    """Return the place before the oldest kept record; `SPOOL_START` when there is none."""
    numbers = segment_numbers(directory)
    return SpoolPosition(numbers[0], HEADER_BYTES) if numbers else SPOOL_START


def spool_bytes(directory: Path) -> int:
    """Return the bytes of all kept segments."""
    total = 0
    for number in segment_numbers(directory):
        with contextlib.suppress(FileNotFoundError):
            total += segment_path(directory, number).stat().st_size
    return total


class SpoolReader:
    """Reads records in order while a receiver writes them; one owner, blocking file reads.

    A segment is sealed once a higher one exists: its bytes are final then. A damaged record is
    passed over and counted when a good one follows it, or at the end of a sealed segment. At the
    end of the live one it means that the receiver is still writing it, or died there: wait.
    """

    def __init__(self, directory: Path) -> None:
        """directory: the worker's folder; it need not exist yet."""
        self._directory = directory
        self._segment = -1
        self._file = -1
        self._header: SegmentHeader | None = None

    def close(self) -> None:
        """Close the segment that is open."""
        if self._file >= 0:
            os.close(self._file)
        self._segment = self._file = -1

    def read(self, position: SpoolPosition, *, bytes_max: int = 1 << 20) -> SpoolChunk | None:
        """Return the records from `position` on, of one segment; None when there is no segment yet.

        A position in a segment that is gone means the oldest kept one after it. Reads about
        `bytes_max` bytes, and always at least one whole record when there is one.
        """
        bytes_max = max(bytes_max, RECORD_BYTES_MAX)
        # Listed before the file is read: what is sealed now has all its bytes.
        numbers = segment_numbers(self._directory)
        corrupt_bytes = 0
        while True:
            # An open file is read to its end even when somebody deleted the folder under it.
            if position.segment != self._segment and position.segment not in numbers:
                following = _following(numbers, position.segment)
                if following is None:
                    return None
                position = SpoolPosition(following, HEADER_BYTES)
            if not self._open(position.segment):
                numbers.remove(position.segment)
                continue
            after = _following(numbers, position.segment)
            if self._header is not None:
                return self._read_open(self._header, position, after, bytes_max, corrupt_bytes)
            if after is None:
                return None
            corrupt_bytes += os.fstat(self._file).st_size
            position = SpoolPosition(after, HEADER_BYTES)

    def _open(self, segment: int) -> bool:
        if segment == self._segment:
            return True
        try:
            file = os.open(segment_path(self._directory, segment), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        self.close()
        self._segment, self._file = segment, file
        self._header = decode_header(os.pread(file, HEADER_BYTES, 0))
        return True

    def _read_open(
        self,
        header: SegmentHeader,
        position: SpoolPosition,
        after: int | None,
        bytes_max: int,
        corrupt_bytes: int,
    ) -> SpoolChunk:
        """Read from the open segment; `after` is the next one, None while this one is live."""
        segment, offset = position.segment, max(position.offset, HEADER_BYTES)
        seed = crc_seed(header.stream)
        records: list[SpoolRecord] = []
        ends: list[int] = []
        data = os.pread(self._file, bytes_max, offset)
        good = decode_records(memoryview(data), seed, records, ends)
        if not records and data:
            found = self._find(seed, offset)
            # Read again before believing in damage: the receiver may have cut an unfinished record
            # and written on while `data` was read.
            data = os.pread(self._file, bytes_max, offset)
            good = decode_records(memoryview(data), seed, records, ends)
            if not records and found is not None:
                corrupt_bytes += found - offset
                offset = found
                data = os.pread(self._file, bytes_max, offset)
                good = decode_records(memoryview(data), seed, records, ends)
        if records:
            # What comes behind the last of them, damaged or unfinished, is for the next call.
            ends = [offset + end for end in ends]
            at_tail = after is None and good == len(data) < bytes_max
            return SpoolChunk(
                header, segment, records, ends, SpoolPosition(segment, ends[-1]), at_tail,
                corrupt_bytes,
            )  # fmt: skip
        if after is None:
            return SpoolChunk(
                header, segment, [], [], SpoolPosition(segment, offset), True, corrupt_bytes
            )
        corrupt_bytes += max(0, os.fstat(self._file).st_size - offset)
        following = SpoolPosition(after, HEADER_BYTES)
        return SpoolChunk(header, segment, [], [], following, False, corrupt_bytes)

    def _find(self, seed: int, offset: int) -> int | None:
        rest = os.pread(self._file, max(0, os.fstat(self._file).st_size - offset), offset)
        found = find_record(rest, seed, 1)
        return None if found is None else offset + found


def _following(numbers: list[int], segment: int) -> int | None:
    """Return the segment to read after `segment`; None when that one is the newest.

    Numbers that are all lower belong to a spool made anew after the old one was deleted.
    """
    higher = next((number for number in numbers if number > segment), None)
    if higher is not None or not numbers or numbers[-1] == segment:
        return higher
    return numbers[0]

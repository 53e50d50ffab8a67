"""Writing the spool: the receiver's streams, appended to segment files.

Nothing here calls fsync. What a process has written survives its `kill -9` in the kernel's page
cache; a sync per batch would cost milliseconds in which datagrams overflow the socket. A machine
that loses power may lose the tail of the spool: the next stream begins behind it, the decoder's
journal keeps the end mark above everything that was published.
"""

import contextlib
import errno
import fcntl
import os
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from services.ingest.spool.format import (
    HEADER_BYTES,
    RecordKind,
    SegmentHeader,
    crc_seed,
    encode_header,
    encode_losses,
    encode_partitions,
    encode_record,
)
from services.ingest.spool.reader import segment_path
from shared.losses import Loss, LossReason

RECEIVER_LOCK = "receiver.lock"
DECODER_LOCK = "decoder.lock"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
# 500 losses of at most 70 bytes each stay below the largest payload.
_LOSSES_PER_MARK = 500

Write = Callable[[int, memoryview], int]


class SpoolHeld(Exception):
    """Another process holds this spool."""


class SpoolFull(Exception):
    """The file system has no room for a mark that must be written."""


def hold(directory: Path, lock: str) -> int:
    """Take one of the folder's locks and return its descriptor; the lock ends with the process.

    Makes the folder if needed. Raises SpoolHeld when another process has it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    file = os.open(directory / lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(file)
        raise SpoolHeld(f"another process holds {directory / lock}") from error
    return file


def create_segment(directory: Path, segment: int, header: SegmentHeader, records: bytes) -> int:
    """Make a segment with its first records in one step; return its descriptor, for appending.

    Whoever lists the folder sees the whole of it or nothing. The segment below is sealed by this.
    """
    path = segment_path(directory, segment)
    new = path.with_suffix(".new")
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o640)
    try:
        view = memoryview(encode_header(header) + records)
        while view:
            view = view[os.write(file, view) :]
        os.rename(new, path)
    except BaseException:
        os.close(file)
        new.unlink(missing_ok=True)
        raise
    return file


class SpoolWriter:
    """One worker's spool, from the receiver's side; holds one open stream at a time.

    next_number: number of the record to be written next. received_at_ms: of the last record.
    segment_size: bytes of the open segment's file. socket_drops: kernel drops that stand in marks,
    modulo 2**32. Methods raise OSError for a broken disk; a full one is an answer.
    """

    def __init__(
        self,
        directory: Path,
        *,
        worker: str,
        segment_bytes: int,
        next_segment: int | None = None,
        write: Write = os.write,
    ) -> None:
        """next_segment: None when the folder holds no segment, see `open_stream`."""
        self._directory = directory
        self._worker = worker
        self._segment_bytes = segment_bytes
        self._segment = None if next_segment is None else next_segment - 1
        self._write = write
        self._file = -1
        self._header = SegmentHeader(
            stream=0, worker=worker, started_at_ms=0, partitions=0, first_number=1
        )
        self.seed = 0
        self.next_number = 1
        self.received_at_ms = 0
        self.segment_size = 0
        self.socket_drops = 0

    @property
    def stream(self) -> int:
        """Id of the open stream."""
        return self._header.stream

    @property
    def partitions(self) -> int:
        """Partition count of the open stream."""
        return self._header.partitions

    @property
    def deleted(self) -> bool:
        """Whether somebody deleted the open segment's file under us."""
        return self._file >= 0 and os.fstat(self._file).st_nlink == 0

    def open_stream(
        self, stream: int, *, started_at_ms: int, partitions: int, socket_cookie: int = 0
    ) -> None:
        """Begin a stream in a segment of its own, with its OPEN mark as number 1.

        Raises SpoolFull when there is no room.
        """
        if self._segment is None:
            # A folder that was deleted must not give its numbers out again: a decoder that stayed
            # alive would take old places for new ones.
            self._segment = started_at_ms // 1_000
        self._header = SegmentHeader(
            stream=stream,
            worker=self._worker,
            started_at_ms=started_at_ms,
            partitions=partitions,
            first_number=1,
            socket_cookie=socket_cookie,
            socket_drops=self.socket_drops,
        )
        self.seed = crc_seed(stream)
        self.received_at_ms = started_at_ms
        payload = encode_partitions(partitions)
        record = encode_record(self.seed, RecordKind.OPEN, 1, started_at_ms, payload=payload)
        self._go_on_in_new_segment(self._header, record)
        self.next_number = 2

    def write(self, packed: memoryview, ends: Sequence[int], received_at_ms: int) -> int:
        """Append records that carry `next_number` and the numbers after it; return how many fit.

        packed: whole records; ends: the offset in `packed` after each. Where the disk is full in
        the middle of a record, its beginning is cut off again and the rest is not written.
        """
        if self.segment_size >= self._segment_bytes:
            self._rotate()
        written = 0
        size = len(packed)
        try:
            written = self._write(self._file, packed)
            while written < size:
                written += self._write(self._file, packed[written:])
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
        count = len(ends)
        if written < size:
            count = bisect_right(ends, written)
            size = ends[count - 1] if count else 0
            os.ftruncate(self._file, self.segment_size + size)
        self.segment_size += size
        self.next_number += count
        if count:
            self.received_at_ms = received_at_ms
        return count

    def append(self, kind: RecordKind, received_at_ms: int, payload: bytes = b"") -> bool:
        """Append one mark; False when the disk is full."""
        record = encode_record(self.seed, kind, self.next_number, received_at_ms, payload=payload)
        return self.write(memoryview(record), [len(record)], received_at_ms) == 1

    def append_losses(self, losses: Sequence[Loss], received_at_ms: int) -> int:
        """Append LOSS marks; return how many of `losses` they hold, fewer when the disk is full."""
        for start in range(0, len(losses), _LOSSES_PER_MARK):
            some = losses[start : start + _LOSSES_PER_MARK]
            if not self.append(RecordKind.LOSS, received_at_ms, encode_losses(some)):
                return start
            drops = sum(x.datagrams for x in some if x.reason is LossReason.KERNEL_DROP)
            self.socket_drops = (self.socket_drops + drops) % (1 << 32)
        return len(losses)

    def end_stream(self) -> None:
        """Append the END mark, with the time of the last record. Raises SpoolFull."""
        if not self.append(RecordKind.END, self.received_at_ms):
            raise SpoolFull("no room for the end mark of a stream")

    def end_deleted_stream(self) -> None:
        """Append the END mark to a stream whose files were deleted, in a new segment of its own."""
        header = replace(self._header, first_number=self.next_number)
        record = encode_record(self.seed, RecordKind.END, self.next_number, self.received_at_ms)
        self._go_on_in_new_segment(header, record)
        self.next_number += 1

    def close(self) -> None:
        """Close the open segment; the stream stays without an END mark unless it got one."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _rotate(self) -> None:
        header = replace(
            self._header, first_number=self.next_number, socket_drops=self.socket_drops
        )
        # Without room for a new file, or when the folder was deleted, the old one just grows on.
        with contextlib.suppress(SpoolFull, FileNotFoundError):
            self._go_on_in_new_segment(header, b"")

    def _go_on_in_new_segment(self, header: SegmentHeader, records: bytes) -> None:
        assert self._segment is not None
        try:
            file = create_segment(self._directory, self._segment + 1, header, records)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise SpoolFull("no room for a new segment of the spool") from error
            raise
        self.close()
        self._file = file
        self._segment += 1
        self.segment_size = HEADER_BYTES + len(records)

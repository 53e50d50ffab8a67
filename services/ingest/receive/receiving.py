"""Receiving: moves datagrams from a socket to the spool, and writes the marks of its streams.

Receiving is urgent: nothing is decoded here, and nothing is made per datagram but its bytes in the
spool. One clock reading and one write serve a whole batch.
"""

import logging
import os
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from zlib import crc32

from services.ingest.receive import clock as stream_clock
from services.ingest.receive.overflow import Overflow
from services.ingest.receive.reuseport import kernel_drops, socket_cookie
from services.ingest.spool.format import (
    BODY,
    PREFIX,
    RECORD_BYTES_MAX,
    RECORD_HEADER_BYTES,
    RECORD_MAGIC,
    RecordKind,
)
from services.ingest.spool.reader import spool_bytes
from services.ingest.spool.recovery import Checkpoint, Recovered, end_last_stream
from services.ingest.spool.writer import RECEIVER_LOCK, SpoolWriter, Write, hold
from services.ingest.status import Fact, ProcessStatus, read_status, write_status
from shared.addresses import UNSPECIFIED, pack_address
from shared.losses import Loss, LossReason

log = logging.getLogger(__name__)

BATCH_DATAGRAMS = 256
_BUFFER_BYTES = 1 << 20
QUIET_MS = 1_000
"""After so long without a record a CLOCK mark says that the stream's time goes on."""
TICK_MS = 1_000
"""How often drops, room, partition count and folder are looked at."""
PARTITIONS_FILE = "partitions"
UNMARKED = "unmarked"
"""Of the status: datagrams that were dropped here, and stand in no mark yet."""

# An exporter's text is looked up once; the limit is for forged source addresses.
_ADDRESSES_MAX = 1 << 16

_DISK_FULL = "no room on the disk"
_HARD_BOUND = "the spool is at its hard bound"

Clock = Callable[[], tuple[int, int]]
"""Reads (wall clock in UTC ms, monotonic clock in ms)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverLimits:
    """Bounds of a worker's spool.

    segment_bytes: where a new file begins. spool_bytes_hard: where new datagrams are dropped.
    partitions: count of topic `flows` while the decoder has not told another.
    """

    segment_bytes: int
    spool_bytes_hard: int
    partitions: int


@dataclass(slots=True)
class Received:
    """What one receiver counted in its life; `metrics.RECEIVER_COUNTERS` has the help texts."""

    datagrams: int = 0
    bytes: int = 0
    batches: int = 0
    streams: int = 0
    kernel_drops: int = 0
    overflow: int = 0


@dataclass(slots=True)
class _Batch:
    packed: memoryview
    ends: list[int] = field(default_factory=list)


def read_partitions(directory: Path) -> int | None:
    """Return the partition count that the decoder noted; None when it did not, or not yet."""
    try:
        partitions = int((directory / PARTITIONS_FILE).read_text())
    except (OSError, ValueError):
        return None
    return partitions if partitions > 0 else None


def _unmarked(before: ProcessStatus | None, recovered: Recovered) -> int:
    """Return the datagrams that a receiver which was killed had dropped and not marked.

    before: what it said last. Once there was room it marked them before all else: so what stands
    in the spool behind it says that they are.
    """
    if before is None:
        return 0
    place = before.facts.get("stream"), before.facts.get("number")
    is_last = place == (f"{recovered.stream:016x}", recovered.number)
    return int(before.facts.get(UNMARKED) or 0) if is_last else 0


class Receiver:
    """One worker's receiver. `start`, then `turn` again and again, then `stop`; one thread.

    A killed one leaves nothing to repair but what the next one's `start` does.
    """

    def __init__(
        self,
        *,
        directory: Path,
        worker: str,
        sock: socket.socket,
        limits: ReceiverLimits,
        clock: Clock,
        new_stream: Callable[[], int],
        checkpoint: Callable[[Path], Checkpoint | None],
        pid: int = 0,
        write: Write | None = None,
        recover: Callable[[Path, Checkpoint | None], Recovered] = end_last_stream,
    ) -> None:
        """sock: a bound UDP socket, owned by the holder. new_stream: gives a random 64-bit id.

        checkpoint: reads the decoder's journal. write, recover: replaced by tests.
        """
        self._directory = directory
        self._worker = worker
        self._socket = sock
        self._limits = limits
        self._clock = clock
        self._new_stream = new_stream
        self._checkpoint = checkpoint
        self._pid = pid
        self._write = write
        self._recover = recover
        self._buffer = bytearray(_BUFFER_BYTES + RECORD_BYTES_MAX)
        self._view = memoryview(self._buffer)
        self._addresses: dict[str, bytes] = {}
        self._overflow = Overflow()
        self._spool_bytes = 0
        self._full: str | None = None
        self._reading = stream_clock.StreamClock(0, 0, 0)
        self._recorded_at = self._ticked_at = 0
        self._stepped = False
        self._cookie = 0
        self._lock = -1
        self._writer: SpoolWriter
        self.received = Received()
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def start(self) -> None:
        """Take the spool, end the stream of the receiver before, open a new one.

        Raises SpoolHeld, SpoolFull, OSError.
        """
        self._lock = hold(self._directory, RECEIVER_LOCK)
        self._socket.setblocking(False)
        self._cookie = socket_cookie(self._socket)
        before = read_status(self._directory, "receiver")
        recovered = self._recover(self._directory, self._checkpoint(self._directory))
        self._writer = self._new_writer(recovered.next_segment)
        # Drops while no receiver was there are new too, as long as it is the same socket.
        if recovered.socket_cookie == self._cookie:
            self._writer.socket_drops = recovered.socket_drops
        self._open_stream(*self._clock())
        if dropped := _unmarked(before, recovered):
            self._overflow.add(UNSPECIFIED, self._reading.received_at_ms, dropped)
        self._tick()

    def wake_on(self, file: int) -> None:
        """Let `turn` return when `file` can be read, also without a datagram."""
        self._poll.register(file, select.POLLIN)

    def turn(self, wait_ms: int = TICK_MS) -> None:
        """Wait at most `wait_ms` for datagrams, write those that are there and the marks due."""
        due = self._ticked_at + TICK_MS
        if self._full is None:
            due = min(due, self._recorded_at + QUIET_MS)
        wait_ms = max(0, min(wait_ms, due - self._reading.monotonic_ms))
        ready = self._poll.poll(wait_ms)
        self._read_clock()
        if ready:
            while self._receive():
                self._read_clock()
                self._tick_when_due()
        self._tick_when_due()
        quiet_ms = self._reading.monotonic_ms - self._recorded_at
        if quiet_ms >= QUIET_MS and self._full is None:
            if self._mark(RecordKind.CLOCK):
                self._recorded_at = self._reading.monotonic_ms
            else:
                self._full = _DISK_FULL

    def stop(self, drain_ms: int = 2_000) -> None:
        """Write what the socket still holds, then the END mark. Raises SpoolFull."""
        self._read_clock()
        until = self._reading.monotonic_ms + drain_ms
        while self._receive() and self._reading.monotonic_ms < until:
            self._read_clock()
        self._tick()
        if self._full is not None:
            # They are as small as the END mark, and nobody else knows what was dropped.
            self._mark_kernel_drops()
            self._write_overflow()
            self._tell_status()
        self._writer.end_stream()
        self.close()

    def close(self) -> None:
        """Let go of the spool without an END mark, as a killed process does."""
        self._writer.close()
        os.close(self._lock)

    def _new_writer(self, next_segment: int | None) -> SpoolWriter:
        arguments = {} if self._write is None else {"write": self._write}
        return SpoolWriter(
            self._directory,
            worker=self._worker,
            segment_bytes=self._limits.segment_bytes,
            next_segment=next_segment,
            **arguments,
        )

    def _open_stream(self, wall_ms: int, monotonic_ms: int) -> None:
        self._reading = stream_clock.start(wall_ms, monotonic_ms)
        partitions = read_partitions(self._directory) or self._limits.partitions
        self._writer.open_stream(
            self._new_stream(),
            started_at_ms=wall_ms,
            partitions=partitions,
            socket_cookie=self._cookie,
        )
        self._recorded_at = monotonic_ms
        self.received.streams += 1
        log.info("stream opened stream=%016x partitions=%d", self._writer.stream, partitions)

    def _change_stream(self, wall_ms: int, monotonic_ms: int, why: str) -> None:
        log.warning("stream ended stream=%016x reason=%r", self._writer.stream, why)
        self._write_overflow()
        self._writer.end_stream()
        self._stepped = False
        self._open_stream(wall_ms, monotonic_ms)

    def _read_clock(self) -> None:
        wall_ms, monotonic_ms = self._clock()
        reading = stream_clock.advance(self._reading, wall_ms, monotonic_ms)
        if reading is not None:
            self._reading = reading
        elif self._full is None:
            self._change_stream(wall_ms, monotonic_ms, "the clock was stepped")
        else:
            # An END mark may find no room now. Nothing but losses is counted until there is some.
            self._stepped = True
            self._reading = replace(self._reading, wall_ms=wall_ms, monotonic_ms=monotonic_ms)

    def _receive(self) -> bool:
        """Write one batch; True when the socket may hold more."""
        batch, more = self._take_batch()
        if not batch.ends:
            return more
        self._recorded_at = self._reading.monotonic_ms
        if self._spool_bytes + len(batch.packed) > self._limits.spool_bytes_hard:
            self._full = self._full or _HARD_BOUND
        count = 0
        if self._full is None:
            count = self._writer.write(batch.packed, batch.ends, self._reading.received_at_ms)
            if count < len(batch.ends):
                self._full = _DISK_FULL
        if count:
            taken = batch.ends[count - 1]
            self._spool_bytes += taken
            self.received.batches += 1
            self.received.datagrams += count
            self.received.bytes += taken - count * RECORD_HEADER_BYTES
        if count < len(batch.ends):
            self._drop(batch, count)
        return more

    def _take_batch(self) -> tuple[_Batch, bool]:
        """Read datagrams into the buffer, each behind its record header.

        This loop is the cost of a datagram: names are local, and the payload is copied once, by
        the kernel, to where it is written from.
        """
        buffer, view, addresses = self._buffer, self._view, self._addresses
        receive, pack_body, pack_prefix = (
            self._socket.recvfrom_into,
            BODY.pack_into,
            PREFIX.pack_into,
        )
        seed, received_at_ms = self._writer.seed, self._reading.received_at_ms
        first = self._writer.next_number
        ends: list[int] = []
        offset = 0
        more = True
        try:
            for number in range(first, first + BATCH_DATAGRAMS):
                start = offset + RECORD_HEADER_BYTES
                length, address = receive(view[start:])
                exporter = addresses.get(address[0]) or self._remember(address[0])
                end = start + length
                pack_body(
                    buffer, offset + 8, length, number, received_at_ms, 0, address[1], exporter
                )
                pack_prefix(buffer, offset, RECORD_MAGIC, crc32(view[offset + 8 : end], seed))
                ends.append(end)
                offset = end
                if offset > _BUFFER_BYTES:
                    break
        except BlockingIOError:
            more = False
        return _Batch(view[:offset], ends), more

    def _remember(self, address: str) -> bytes:
        if len(self._addresses) >= _ADDRESSES_MAX:
            self._addresses.clear()
        exporter = self._addresses[address] = pack_address(address)
        return exporter

    def _drop(self, batch: _Batch, count: int) -> None:
        """Count the datagrams of `batch` from index `count` on, which get no number."""
        starts = [0, *batch.ends][count:-1]
        for start in starts:
            # The exporter is the end of a record's header.
            exporter = bytes(batch.packed[start + RECORD_HEADER_BYTES - 16 :][:16])
            self._overflow.add(exporter, self._reading.received_at_ms)
        self.received.overflow += len(starts)

    def _mark(self, kind: RecordKind) -> bool:
        return self._writer.append(kind, self._reading.received_at_ms)

    def _tick_when_due(self) -> None:
        if self._reading.monotonic_ms - self._ticked_at >= TICK_MS:
            self._tick()

    def _tick(self) -> None:
        self._ticked_at = self._reading.monotonic_ms
        if self._writer.deleted:
            self._go_on_after_deletion()
        self._look_for_room()
        if self._full is None:
            self._mark_kernel_drops()
            self._change_stream_when_due()
        self._tell_status()

    def _change_stream_when_due(self) -> None:
        wall_ms, monotonic_ms = self._reading.wall_ms, self._reading.monotonic_ms
        partitions = read_partitions(self._directory)
        if self._stepped:
            self._change_stream(wall_ms, monotonic_ms, "the clock was stepped")
        elif partitions is not None and partitions != self._writer.partitions:
            self._change_stream(wall_ms, monotonic_ms, f"topic has {partitions} partitions")

    def _look_for_room(self) -> None:
        """Measure the spool; when there is room again, mark what was dropped meanwhile."""
        self._spool_bytes = spool_bytes(self._directory)
        bound = self._limits.spool_bytes_hard
        if self._full is not None:
            # Worth starting again for: otherwise each batch would come with a mark of the last.
            bound -= min(self._limits.segment_bytes, _BUFFER_BYTES)
        if self._spool_bytes > bound:
            self._full = self._full or _HARD_BOUND
        elif self._write_overflow():
            self._full = None

    def _write_overflow(self) -> bool:
        """Write LOSS marks for the datagrams dropped here; False when not all found room."""
        while (oldest := self._overflow.oldest()) is not None:
            at_ms, losses = oldest
            at_ms = max(at_ms, self._writer.received_at_ms)
            marked = self._writer.append_losses(losses, at_ms)
            self._overflow.forget(losses[:marked])
            if marked < len(losses):
                return False
        return True

    def _mark_kernel_drops(self) -> None:
        drops = kernel_drops(self._socket) - self._writer.socket_drops
        drops %= 1 << 32
        if drops == 0:
            return
        loss = Loss(UNSPECIFIED, LossReason.KERNEL_DROP, drops)
        if self._writer.append_losses([loss], self._reading.received_at_ms):
            self._recorded_at = self._reading.monotonic_ms
            self.received.kernel_drops += drops
            log.warning("kernel dropped datagrams=%d", drops)
        else:
            self._full = _DISK_FULL

    def _go_on_after_deletion(self) -> None:
        """The folder was deleted: end the stream in a new one, where its END mark is read."""
        log.error("spool deleted by somebody directory=%s", self._directory)
        os.close(self._lock)
        self._lock = hold(self._directory, RECEIVER_LOCK)
        self._writer.end_deleted_stream()
        self._open_stream(self._reading.wall_ms, self._reading.monotonic_ms)

    def _tell_status(self) -> None:
        facts: dict[str, Fact] = {
            "stream": f"{self._writer.stream:016x}",
            "number": self._writer.next_number - 1,
            "spool_bytes": self._spool_bytes,
            UNMARKED: self._overflow.datagrams,
            **asdict(self.received),
        }
        reasons = {} if self._full is None else {"spool": self._full}
        with suppress(OSError):
            write_status(self._directory, "receiver", ProcessStatus(self._pid, reasons, facts))

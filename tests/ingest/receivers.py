"""Receivers on a real loopback socket and a clock that only moves when told."""

import itertools
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.ingest.receive.receiving import Receiver, ReceiverLimits
from services.ingest.spool.format import RecordKind, SegmentHeader, SpoolRecord
from services.ingest.spool.reader import SPOOL_START, SpoolReader
from services.ingest.spool.recovery import Checkpoint, Recovered, end_last_stream

NOON_MS = 1_700_000_000_000
Recover = Callable[[Path, Checkpoint | None], Recovered]


class FakeClock:
    """Both clocks, moved by hand."""

    def __init__(self, wall_ms: int = NOON_MS) -> None:
        self.wall_ms = wall_ms
        self.monotonic_ms = 5_000

    def __call__(self) -> tuple[int, int]:
        return self.wall_ms, self.monotonic_ms

    def pass_ms(self, ms: int) -> None:
        self.wall_ms += ms
        self.monotonic_ms += ms

    def step_ms(self, ms: int) -> None:
        self.wall_ms += ms


@dataclass
class Bench:
    """One worker's socket, spool and clock; receivers come and go on it."""

    directory: Path
    sock: socket.socket
    clock: FakeClock
    streams: Iterator[int]
    checkpoint: Checkpoint | None = None

    def receiver(
        self,
        *,
        segment_bytes: int = 1 << 20,
        spool_bytes_hard: int = 1 << 30,
        write: Callable[[int, memoryview], int] = os.write,
        recover: Recover = end_last_stream,
    ) -> Receiver:
        receiver = Receiver(
            directory=self.directory,
            worker="test/0",
            sock=self.sock,
            limits=ReceiverLimits(
                segment_bytes=segment_bytes, spool_bytes_hard=spool_bytes_hard, partitions=4
            ),
            clock=self.clock,
            new_stream=lambda: next(self.streams),
            checkpoint=lambda _directory: self.checkpoint,
            write=write,
            recover=recover,
        )
        receiver.start()
        return receiver

    def send(self, *payloads: bytes, source: str = "127.0.0.1") -> None:
        with socket.socket(self.sock.family, socket.SOCK_DGRAM) as exporter:
            exporter.bind((source, 0))
            for payload in payloads:
                exporter.sendto(payload, self.sock.getsockname())

    def read(self) -> list[tuple[SegmentHeader, SpoolRecord]]:
        return read_spool(self.directory)


@contextmanager
def bench(directory: Path) -> Iterator[Bench]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.bind(("127.0.0.1", 0))
        yield Bench(directory, sock, FakeClock(), itertools.count(101))


def read_spool(
    directory: Path, *, corrupt: list[int] | None = None
) -> list[tuple[SegmentHeader, SpoolRecord]]:
    """All records up to the tail; corrupt bytes, none expected by default, are put in `corrupt`."""
    reader = SpoolReader(directory)
    position = SPOOL_START
    found: list[tuple[SegmentHeader, SpoolRecord]] = []
    while (chunk := reader.read(position)) is not None:
        found.extend((chunk.header, record) for record in chunk.records)
        if corrupt is not None:
            corrupt.append(chunk.corrupt_bytes)
        else:
            assert chunk.corrupt_bytes == 0
        if chunk.at_tail:
            break
        position = chunk.next
    reader.close()
    return found


def assert_streams_are_whole(records: list[tuple[SegmentHeader, SpoolRecord]]) -> None:
    """Every stream has numbers without holes and times that never fall; all but the last end."""
    by_stream: dict[int, list[SpoolRecord]] = {}
    for header, record in records:
        by_stream.setdefault(header.stream, []).append(record)
    for stream, its in by_stream.items():
        assert [record.number for record in its] == list(range(1, len(its) + 1)), stream
        assert its[0].kind is RecordKind.OPEN
        times = [record.received_at_ms for record in its]
        assert times == sorted(times)
        ends = [record.number for record in its if record.kind is RecordKind.END]
        last_stream = stream == records[-1][0].stream
        assert ends == [len(its)] or (last_stream and not ends), stream


def payloads_of(records: list[tuple[SegmentHeader, SpoolRecord]]) -> list[bytes]:
    return [bytes(r.payload) for _, r in records if r.kind is RecordKind.DATAGRAM]


def kinds_of(records: list[tuple[SegmentHeader, SpoolRecord]]) -> list[str]:
    return [f"{header.stream}:{record.kind.name}" for header, record in records]

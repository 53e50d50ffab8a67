"""The receiver on a real loopback socket, with a clock moved by hand."""

import errno
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.ingest.receive.receiving import BATCH_DATAGRAMS, Receiver
from services.ingest.spool.format import RecordKind, decode_losses
from services.ingest.spool.reader import SPOOL_START, SpoolReader, segment_numbers, segment_path
from services.ingest.spool.recovery import end_last_stream
from services.ingest.spool.writer import SpoolFull, SpoolHeld
from shared.addresses import UNSPECIFIED, pack_address
from shared.losses import Loss, LossReason
from tests.ingest.receivers import (
    NOON_MS,
    Bench,
    assert_streams_are_whole,
    bench,
    kinds_of,
    payloads_of,
)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path / "0") as site:
        yield site


def losses_of(site: Bench) -> list[Loss]:
    return [
        loss
        for _, record in site.read()
        if record.kind is RecordKind.LOSS
        for loss in decode_losses(record.payload)
    ]


def second(site: Bench, receiver: Receiver) -> None:
    site.clock.pass_ms(1_000)
    receiver.turn(0)


def test_datagrams_stand_between_open_and_end_with_their_exporter(site: Bench) -> None:
    receiver = site.receiver()
    site.send(b"one", source="127.0.0.7")
    site.clock.pass_ms(5)
    receiver.turn(0)
    site.send(b"two", b"", source="127.0.0.8")
    site.clock.pass_ms(5)
    receiver.turn(0)
    receiver.stop()
    records = site.read()
    assert_streams_are_whole(records)
    assert kinds_of(records) == ["101:OPEN", *["101:DATAGRAM"] * 3, "101:END"]
    facts = [(r.received_at_ms - NOON_MS, r.exporter, bytes(r.payload)) for _, r in records[1:4]]
    assert facts == [
        (5, pack_address("127.0.0.7"), b"one"),
        (10, pack_address("127.0.0.8"), b"two"),
        (10, pack_address("127.0.0.8"), b""),
    ]
    assert all(record.port > 0 for _, record in records[1:4])
    assert records[-1][1].received_at_ms == NOON_MS + 10


def test_more_than_a_batch_comes_in_one_turn_in_order(site: Bench) -> None:
    receiver = site.receiver(segment_bytes=4_096)
    sent = [b"%d" % number for number in range(2 * BATCH_DATAGRAMS + 3)]
    site.send(*sent)
    receiver.turn(0)
    receiver.stop()
    records = site.read()
    assert_streams_are_whole(records)
    assert payloads_of(records) == sent
    assert len(segment_numbers(site.directory)) > 2


def test_both_versions_of_ip_come_in_on_one_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", 0))
        with bench(tmp_path / "0") as site:
            site.sock.close()
            site.sock = sock
            receiver = site.receiver()
            port = sock.getsockname()[1]
            for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
                with socket.socket(family, socket.SOCK_DGRAM) as exporter:
                    exporter.sendto(host.encode(), (host, port))
            receiver.turn(0)
            receiver.stop()
            found = [r.exporter for _, r in site.read() if r.kind is RecordKind.DATAGRAM]
    assert found == [pack_address("127.0.0.1"), pack_address("::1")]


def test_quiet_seconds_are_marked_each(site: Bench) -> None:
    receiver = site.receiver()
    for _ in range(3):
        second(site, receiver)
    site.clock.pass_ms(999)
    receiver.turn(0)
    receiver.stop()
    records = site.read()
    assert kinds_of(records) == ["101:OPEN", *["101:CLOCK"] * 3, "101:END"]
    assert [r.received_at_ms - NOON_MS for _, r in records] == [0, 1_000, 2_000, 3_000, 3_000]


def test_traffic_needs_no_clock_marks(site: Bench) -> None:
    receiver = site.receiver()
    for _ in range(5):
        site.clock.pass_ms(900)
        site.send(b"x")
        receiver.turn(0)
    receiver.stop()
    assert "101:CLOCK" not in kinds_of(site.read())


@pytest.mark.parametrize("step_ms", [-3_600_000, 3_600_000, -1_001])
def test_a_clock_step_ends_the_stream_and_back_again(site: Bench, step_ms: int) -> None:
    receiver = site.receiver()
    site.send(b"before")
    receiver.turn(0)
    site.clock.step_ms(step_ms)
    site.send(b"after")
    receiver.turn(0)
    site.clock.step_ms(-6_000 if step_ms > 0 else 6_000)
    site.send(b"again")
    receiver.turn(0)
    receiver.stop()
    records = site.read()
    assert_streams_are_whole(records)
    assert payloads_of(records) == [b"before", b"after", b"again"]
    assert [header.stream for header, r in records if r.kind is RecordKind.END] == [101, 102, 103]
    # The end of a stream carries the time of its last record, not of the new clock.
    assert records[2][1].received_at_ms == NOON_MS
    assert records[3][1].received_at_ms == NOON_MS + step_ms


def test_a_small_step_back_is_held(site: Bench) -> None:
    receiver = site.receiver()
    site.clock.step_ms(-800)
    site.send(b"x")
    receiver.turn(0)
    receiver.stop()
    records = site.read()
    assert kinds_of(records) == ["101:OPEN", "101:DATAGRAM", "101:END"]
    assert {r.received_at_ms for _, r in records} == {NOON_MS}


def test_another_partition_count_begins_another_stream(site: Bench) -> None:
    receiver = site.receiver()
    (site.directory / "partitions").write_text("4")
    second(site, receiver)
    (site.directory / "partitions").write_text("nonsense")
    second(site, receiver)
    (site.directory / "partitions").write_text("12")
    second(site, receiver)
    receiver.stop()
    records = site.read()
    assert_streams_are_whole(records)
    partitions = [(h.stream, h.partitions) for h, r in records if r.kind is RecordKind.OPEN]
    assert partitions == [(101, 4), (102, 12)]
    opened = [bytes(r.payload) for _, r in records if r.kind is RecordKind.OPEN]
    assert opened == [b'{"partitions": 4}', b'{"partitions": 12}']


def test_drops_of_the_kernel_are_marked_once_also_after_a_kill(site: Bench) -> None:
    receiver = site.receiver()
    site.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    site.send(*[bytes(1_000)] * 40)
    second(site, receiver)
    receiver.close()
    # While no receiver is there the buffer overflows again.
    site.send(*[bytes(1_000)] * 40)
    receiver = site.receiver(segment_bytes=600)
    second(site, receiver)
    second(site, receiver)
    receiver.close()
    receiver = site.receiver()
    receiver.stop()
    records = site.read()
    assert_streams_are_whole(records)
    losses = losses_of(site)
    assert {(x.exporter, x.reason) for x in losses} == {(UNSPECIFIED, LossReason.KERNEL_DROP)}
    assert len(losses) == 2
    assert sum(x.datagrams for x in losses) + len(payloads_of(records)) == 80


def test_at_the_hard_bound_new_datagrams_are_counted_and_get_no_number(site: Bench) -> None:
    receiver = site.receiver(segment_bytes=20_000, spool_bytes_hard=100_000)
    for _ in range(20):
        site.send(*[bytes(1_000)] * 10)
        receiver.turn(0)
    kept = len(payloads_of(site.read()))
    assert 80 < kept < 100
    site.clock.pass_ms(60_000)
    site.send(*[bytes(1_000)] * 10, source="127.0.0.9")
    receiver.turn(0)
    second(site, receiver)
    assert losses_of(site) == []
    # The decoder comes and lets go of a segment.
    for segment in segment_numbers(site.directory)[:2]:
        segment_path(site.directory, segment).unlink()
    second(site, receiver)
    site.send(b"after")
    receiver.turn(0)
    receiver.stop()
    rest = site.read()
    numbers = [record.number for _, record in rest]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert payloads_of(rest)[-1] == b"after"
    overflow = LossReason.RECEIVER_OVERFLOW
    assert losses_of(site) == [
        Loss(pack_address("127.0.0.1"), overflow, 200 - kept),
        Loss(pack_address("127.0.0.9"), overflow, 10),
    ]
    marks = [r for _, r in rest if r.kind is RecordKind.LOSS]
    # Each in the minute in which it happened.
    assert [(r.received_at_ms - NOON_MS) // 1_000 for r in marks] == [0, 60]


def full(site: Bench) -> tuple[Receiver, int]:
    """Return a receiver that dropped datagrams, and how many it has dropped."""
    receiver = site.receiver(segment_bytes=20_000, spool_bytes_hard=100_000)
    for _ in range(20):
        site.send(*[bytes(1_000)] * 10)
        receiver.turn(0)
    second(site, receiver)
    assert losses_of(site) == []
    return receiver, receiver.received.overflow


def test_one_that_stops_while_there_is_no_room_marks_what_it_dropped(site: Bench) -> None:
    receiver, dropped = full(site)

    receiver.stop()

    assert losses_of(site) == [
        Loss(pack_address("127.0.0.1"), LossReason.RECEIVER_OVERFLOW, dropped)
    ]
    assert_streams_are_whole(site.read())


def test_an_end_mark_that_found_room_hides_nothing(site: Bench) -> None:
    """It is smaller than a mark of a loss."""
    receiver, dropped = full(site)
    receiver.close()
    end_last_stream(site.directory, None)

    site.receiver().stop()

    assert [loss.datagrams for loss in losses_of(site)] == [dropped]


@pytest.mark.parametrize("kills", [1, 2])
def test_what_a_killed_one_dropped_is_marked_by_the_next_with_room(site: Bench, kills: int) -> None:
    receiver, dropped = full(site)
    for _ in range(kills):
        receiver.close()
        receiver = site.receiver(segment_bytes=20_000, spool_bytes_hard=100_000)
    for segment in segment_numbers(site.directory)[:2]:
        segment_path(site.directory, segment).unlink()
    second(site, receiver)
    marked = [Loss(UNSPECIFIED, LossReason.RECEIVER_OVERFLOW, dropped)]
    assert losses_of(site) == marked

    # Whatever the one that marked them said before, they are marked once.
    receiver.close()
    site.receiver().stop()
    assert losses_of(site) == marked


def test_marks_behind_the_last_word_of_a_killed_one_are_believed(site: Bench) -> None:
    receiver, dropped = full(site)
    said = (site.directory / "receiver.json").read_bytes()
    for segment in segment_numbers(site.directory)[:2]:
        segment_path(site.directory, segment).unlink()
    second(site, receiver)
    receiver.close()
    # It was killed before it could say so.
    (site.directory / "receiver.json").write_bytes(said)

    site.receiver().stop()

    assert [loss.datagrams for loss in losses_of(site)] == [dropped]


class FullDisk:
    """A disk with `room` bytes left, where `write` behaves as write(2) on a full one."""

    def __init__(self, room: int) -> None:
        self.room = room

    def __call__(self, file: int, data: memoryview) -> int:
        if self.room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = os.write(file, data[: self.room])
        self.room -= written
        return written


def test_a_full_disk_costs_counted_datagrams_and_no_number(site: Bench) -> None:
    disk = FullDisk(2_500)
    receiver = site.receiver(write=disk)
    site.send(*[bytes(1_000)] * 5)
    receiver.turn(0)
    site.send(bytes(1_000))
    receiver.turn(0)
    second(site, receiver)
    disk.room = 1 << 30
    second(site, receiver)
    site.send(b"after")
    receiver.turn(0)
    receiver.stop()
    records = site.read()
    assert_streams_are_whole(records)
    assert [len(payload) for payload in payloads_of(records)] == [1_000, 1_000, 5]
    expected = Loss(pack_address("127.0.0.1"), LossReason.RECEIVER_OVERFLOW, 4)
    assert losses_of(site) == [expected]


def test_a_clock_step_on_a_full_disk_waits_for_room(site: Bench) -> None:
    disk = FullDisk(0)
    receiver = site.receiver(write=disk)
    site.send(b"lost")
    receiver.turn(0)
    site.clock.step_ms(-3_600_000)
    site.send(b"lost too")
    receiver.turn(0)
    disk.room = 1 << 30
    second(site, receiver)
    site.send(b"after")
    receiver.turn(0)
    receiver.stop()
    records = site.read()
    assert_streams_are_whole(records)
    assert kinds_of(records)[:4] == ["101:OPEN", "101:LOSS", "101:END", "102:OPEN"]
    assert [x.datagrams for x in losses_of(site)] == [2]


def test_a_stream_that_cannot_be_ended_says_so(site: Bench) -> None:
    disk = FullDisk(10)
    receiver = site.receiver(write=disk)
    with pytest.raises(SpoolFull):
        receiver.stop()
    receiver.close()
    site.receiver().stop()
    assert_streams_are_whole(site.read())


def test_a_spool_that_is_deleted_under_load_ends_its_stream(site: Bench) -> None:
    receiver = site.receiver()
    site.send(b"read", b"read too")
    receiver.turn(0)
    reader = SpoolReader(site.directory)
    chunk = reader.read(SPOOL_START)
    assert chunk is not None
    shutil.rmtree(site.directory)
    site.send(b"written to a deleted file")
    receiver.turn(0)
    second(site, receiver)
    site.send(b"new")
    receiver.turn(0)
    receiver.stop()
    found = []
    while True:
        chunk = reader.read(chunk.next)
        assert chunk is not None
        found += [(chunk.header.stream, r.number, r.kind.name) for r in chunk.records]
        if chunk.at_tail:
            break
    reader.close()
    assert found == [
        (101, 4, "DATAGRAM"),
        (101, 5, "END"),
        (102, 1, "OPEN"),
        (102, 2, "DATAGRAM"),
        (102, 3, "END"),
    ]


def test_two_receivers_cannot_hold_one_spool(site: Bench) -> None:
    receiver = site.receiver()
    with pytest.raises(SpoolHeld):
        site.receiver()
    receiver.stop()

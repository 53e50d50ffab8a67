"""What the next receiver makes of a spool that the one before left in the middle of something."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ingest.spool.format import HEADER_BYTES, RecordKind
from services.ingest.spool.reader import segment_numbers, segment_path
from services.ingest.spool.recovery import end_last_stream
from tests.ingest.receivers import (
    NOON_MS,
    Bench,
    assert_streams_are_whole,
    bench,
    kinds_of,
    payloads_of,
    read_spool,
)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path / "0") as site:
        yield site


def leave_a_killed_receiver(site: Bench, *payloads: bytes, segment_bytes: int = 1 << 20) -> None:
    receiver = site.receiver(segment_bytes=segment_bytes)
    for payload in payloads:
        site.send(payload)
        site.clock.pass_ms(10)
        receiver.turn(0)
    receiver.close()


def newest(site: Bench) -> Path:
    return segment_path(site.directory, segment_numbers(site.directory)[-1])


def test_a_killed_stream_gets_its_end_mark_once(site: Bench) -> None:
    leave_a_killed_receiver(site, b"a", b"b")
    site.clock.pass_ms(30_000)
    end_last_stream(site.directory, None)
    end_last_stream(site.directory, None)
    site.receiver().stop()
    records = site.read()
    assert_streams_are_whole(records)
    assert kinds_of(records)[:4] == ["101:OPEN", "101:DATAGRAM", "101:DATAGRAM", "101:END"]
    assert kinds_of(records)[4:] == ["102:OPEN", "102:END"]
    assert records[3][1].received_at_ms == NOON_MS + 20


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cut=st.integers(min_value=1, max_value=2 * 98))
def test_a_half_written_tail_is_cut_wherever_it_was_broken_off(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    with bench(tmp_path_factory.mktemp("spool") / "0") as site:
        leave_a_killed_receiver(site, b"a" * 50, b"b" * 50)
        size = newest(site).stat().st_size
        with newest(site).open("ab") as file:
            file.truncate(size - cut)
        site.receiver().stop()
        records = site.read()
        assert_streams_are_whole(records)
        whole = [p for n, p in ((1, b"a" * 50), (2, b"b" * 50)) if cut <= (2 - n) * 98]
        assert payloads_of(records) == whole


def test_without_cutting_a_good_spool_looks_damaged(site: Bench) -> None:
    leave_a_killed_receiver(site, b"a", b"b" * 50)
    with newest(site).open("ab") as file:
        file.truncate(newest(site).stat().st_size - 10)
    site.receiver(recover=partial(end_last_stream, cut=False)).stop()
    corrupt: list[int] = []
    read_spool(site.directory, corrupt=corrupt)
    assert sum(corrupt) == 88


def test_without_the_end_mark_a_killed_stream_never_ends(site: Bench) -> None:
    leave_a_killed_receiver(site, b"a")
    site.receiver(recover=partial(end_last_stream, mark=False)).stop()
    ended = [header.stream for header, r in site.read() if r.kind is RecordKind.END]
    assert ended == [102]
    with pytest.raises(AssertionError):
        assert_streams_are_whole(site.read())


def test_the_end_mark_stands_above_what_kafka_already_has(site: Bench) -> None:
    leave_a_killed_receiver(site, b"a", b"b")
    # The machine lost power: the tail of the spool is gone, but it was published.
    with newest(site).open("ab") as file:
        file.truncate(newest(site).stat().st_size - 49)
    site.checkpoint = (101, 3)
    site.receiver().stop()
    numbers = [(h.stream, r.number, r.kind.name) for h, r in site.read()]
    assert numbers[:3] == [(101, 1, "OPEN"), (101, 2, "DATAGRAM"), (101, 4, "END")]


def test_a_checkpoint_of_another_stream_changes_nothing(site: Bench) -> None:
    leave_a_killed_receiver(site, b"a")
    site.checkpoint = (99, 1_000)
    site.receiver().stop()
    assert_streams_are_whole(site.read())


def test_a_new_segment_without_records_ends_after_the_one_before(site: Bench) -> None:
    leave_a_killed_receiver(site, b"a" * 100, b"b" * 100, segment_bytes=HEADER_BYTES + 70)
    with newest(site).open("ab") as file:
        file.truncate(HEADER_BYTES)
    site.receiver().stop()
    numbers = [(h.stream, r.number, r.kind.name) for h, r in site.read()]
    assert numbers[:3] == [(101, 1, "OPEN"), (101, 2, "DATAGRAM"), (101, 3, "END")]
    assert site.read()[2][1].received_at_ms == NOON_MS + 10


def test_a_segment_damaged_from_its_first_byte_is_passed_over(site: Bench) -> None:
    leave_a_killed_receiver(site, b"a" * 100, b"b" * 100, segment_bytes=HEADER_BYTES + 70)
    damaged = newest(site)
    damaged.write_bytes(bytes(damaged.stat().st_size))
    site.receiver().stop()
    corrupt: list[int] = []
    records = read_spool(site.directory, corrupt=corrupt)
    assert sum(corrupt) == damaged.stat().st_size
    assert kinds_of(records) == ["101:OPEN", "101:DATAGRAM", "101:END", "102:OPEN", "102:END"]


def test_a_spool_of_nothing_but_damage_begins_anew(site: Bench) -> None:
    leave_a_killed_receiver(site, b"a")
    newest(site).write_bytes(b"")
    leftover = site.directory / "000000000009.new"
    leftover.write_bytes(b"half a segment")
    site.receiver().stop()
    records = read_spool(site.directory, corrupt=[])
    assert kinds_of(records) == ["102:OPEN", "102:END"]
    assert not leftover.exists()

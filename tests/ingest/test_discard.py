"""A spool that is full: what goes, in which order, and what the messages in its place say."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.ingest.decode.decoding import DecoderState
from services.ingest.publish.discard import Room, give_up_segment, make_room, merge_minutes
from services.ingest.publish.journal import Acknowledged, Journal, JournalState
from services.ingest.publish.publishing import Publishing
from services.ingest.publish.ranges import Bounds
from services.ingest.spool.format import RecordKind, decode_header
from services.ingest.spool.reader import SpoolPosition, segment_numbers, segments
from shared.flow_message import FlowRange
from shared.losses import Loss, LossReason
from tests.ingest.logs import Log, LogPublisher, Read, failing_with, read_log
from tests.ingest.spools import EXPORTERS, NOON_MS, WORKER, Spool, datagrams, fresh_rows
from tests.ingest.test_publishing import Killed, KilledJournal, hasty_clocks, publish

SEGMENT_BYTES = 1 << 13


def flow_range(first: int, last: int, *, minute: int = 0, ended: bool = False) -> FlowRange:
    at_ms = NOON_MS + 60_000 * minute
    return FlowRange(
        stream=7, worker=WORKER, first=first, last=last, rows=0, earliest_ms=at_ms,
        latest_ms=at_ms + 9, started_at_ms=NOON_MS, partitions=4, ended=ended,
        losses=(Loss(EXPORTERS[0], LossReason.SPOOL_OVERFLOW, last - first + 1, 5),),
    )  # fmt: skip


def test_acknowledged_segments_go_first_and_only_as_many_as_needed() -> None:
    sizes = [(1, 10), (2, 10), (3, 10), (4, 10), (5, 10)]

    assert make_room(sizes, bytes_max=40, acknowledged_before=3, busy_until=3) == Room((1,), ())
    assert make_room(sizes, bytes_max=50, acknowledged_before=3, busy_until=3) == Room((), ())


def test_unread_segments_go_next_but_never_a_busy_or_the_live_one() -> None:
    sizes = [(1, 10), (2, 10), (3, 10), (4, 10), (5, 10)]

    assert make_room(sizes, bytes_max=5, acknowledged_before=2, busy_until=3) == Room((1,), (4,))


def test_ranges_of_one_minute_become_one_and_their_losses_add_up() -> None:
    ranges = [flow_range(1, 3), flow_range(4, 9), flow_range(10, 12, minute=1, ended=True)]

    merged = merge_minutes(ranges)

    assert [(r.first, r.last, r.ended) for r in merged] == [(1, 9, False), (10, 12, True)]
    assert merged[0].losses == (Loss(EXPORTERS[0], LossReason.SPOOL_OVERFLOW, 9, 10),)


def long_spool(directory: Path) -> Spool:
    """Nine segments over three minutes; one exporter's template comes in the middle only."""
    spool = Spool(directory, segment_bytes=SEGMENT_BYTES)
    spool.open(7)
    spool.write(datagrams(240, step_ms=700))
    spool.mark(RecordKind.CLOCK, NOON_MS + 240 * 700)
    return spool


def overflow(read: Read) -> Counter[str]:
    """Return what was named as lost by the full spool: datagrams and flows."""
    lost = Counter[str]()
    for one in read.ranges:
        for loss in one.losses:
            if loss.reason is LossReason.SPOOL_OVERFLOW:
                lost["datagrams"] += loss.datagrams
                lost["flows"] += loss.flows
    return lost


def keep_room(directory: Path, *, bytes_max: int, at_step: int = -1) -> list[int]:
    """Make room once without a broker, killed at a step of the journal; return what is kept."""
    journal = KilledJournal(directory)
    journal.at = failing_with(Killed, at_step)
    publishing = Publishing(
        directory, journal, LogPublisher(Log()), collector=WORKER, spool_bytes_max=bytes_max,
        make_state=DecoderState, clocks=hasty_clocks(),
    )  # fmt: skip
    try:
        publishing.make_room()
    except Killed:
        pass
    finally:
        journal.close()
    return segment_numbers(directory)


def test_without_a_broker_the_oldest_records_go_and_are_named(tmp_path: Path) -> None:
    spool = long_spool(tmp_path / "spool")
    fresh = fresh_rows(spool.directory)
    kept = keep_room(spool.directory, bytes_max=4 * SEGMENT_BYTES)
    assert kept == segment_numbers(spool.directory)[-len(kept) :]
    assert 1 not in kept
    log = Log()

    publish(spool.directory, log)

    read = read_log(log)
    assert read.gaps == []
    lost = overflow(read)
    assert lost["flows"] > 0
    # Exporters whose templates stood in the lost part still decode.
    assert read.rows.num_rows + lost["flows"] == fresh.num_rows
    assert sum(r.rows for r in read.ranges) == read.rows.num_rows
    assert not [x for r in read.ranges for x in r.losses if x.reason is LossReason.SPOOL_CORRUPT]


def test_a_discard_is_one_message_a_minute(tmp_path: Path) -> None:
    spool = long_spool(tmp_path / "spool")

    discard = give_up_segment(
        spool.directory, JournalState(), 1, collector=WORKER, make_state=DecoderState
    )

    assert discard is not None
    minutes = [r.earliest_ms // 60_000 for r in discard.ranges]
    assert minutes == sorted(set(minutes))
    assert [r.first for r in discard.ranges[1:]] == [r.last + 1 for r in discard.ranges[:-1]]
    second = decode_header((spool.directory / "000000000002.seg").read_bytes())
    assert second is not None
    assert discard.next_number == second.first_number


@given(steps=st.lists(st.integers(0, 60), max_size=6), bytes_max=st.integers(3, 7))
@settings(max_examples=20, deadline=None)
@example(steps=[0, 1], bytes_max=3)
# One is given up while the one before it is read, then that one too.
@example(steps=[0, 6, 3], bytes_max=3)
def test_kills_around_a_discard_lose_and_double_nothing(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], bytes_max: int
) -> None:
    spool = long_spool(tmp_path_factory.mktemp("full") / "spool")
    fresh = fresh_rows(spool.directory)
    log = Log()

    for number, step in enumerate(steps):
        if number % 2:
            publish(
                spool.directory, log, at=failing_with(Killed, step), bounds=Bounds(rows=150),
                spool_bytes_max=bytes_max * SEGMENT_BYTES,
            )  # fmt: skip
        else:
            keep_room(spool.directory, bytes_max=bytes_max * SEGMENT_BYTES, at_step=step % 12)
    publish(spool.directory, log, bounds=Bounds(rows=150))

    read = read_log(log)
    assert read.gaps == []
    assert read.rows.num_rows + overflow(read)["flows"] == fresh.num_rows


def losses(read: Read) -> list[tuple[int, int, int, Loss]]:
    return [(r.stream, r.first, r.last, loss) for r in read.ranges for loss in r.losses]


@given(steps=st.lists(st.integers(0, 40), max_size=4), lost=st.integers(1, 30), again=st.booleans())
@settings(max_examples=15, deadline=None)
def test_a_rewind_across_discards_says_the_same_again(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], lost: int, again: bool
) -> None:
    spool = long_spool(tmp_path_factory.mktemp("again") / "spool")
    fresh = fresh_rows(spool.directory)
    bytes_max = 4 * SEGMENT_BYTES
    keep_room(spool.directory, bytes_max=bytes_max)
    log = Log()
    publish(spool.directory, log, bounds=Bounds(rows=150), spool_bytes_max=bytes_max)
    first = list(log.messages)
    if again:
        log.make_again("second")
    else:
        del log.messages[-lost:]
    spool.write(datagrams(1, at_ms=NOON_MS + 240 * 700)[-1:])

    for step in steps:
        publish(
            spool.directory, log, at=failing_with(Killed, step), bounds=Bounds(rows=70),
            spool_bytes_max=bytes_max,
        )  # fmt: skip
    publish(spool.directory, log, bounds=Bounds(rows=70), spool_bytes_max=bytes_max)

    alone, both = read_log(log), read_log(Log("both", first + log.messages))
    assert alone.gaps == both.gaps == []
    assert losses(alone) == losses(both)
    assert both.rows.num_rows + overflow(both)["flows"] == fresh.num_rows + 10
    assert alone.rows.equals(both.rows)


def test_what_stands_beside_old_discards_goes_with_them(tmp_path: Path) -> None:
    spool = long_spool(tmp_path / "spool")
    kept = keep_room(spool.directory, bytes_max=4 * SEGMENT_BYTES)
    publish(spool.directory, Log())
    assert any(spool.directory.glob("000000000001.state"))
    journal = Journal(spool.directory)
    journal.append(replace(journal.state, discards={}))
    journal.close()

    keep_room(spool.directory, bytes_max=4 * SEGMENT_BYTES)

    left = {int(path.stem) for path in spool.directory.glob("*.state")}
    assert left
    assert min(left) >= kept[0]


def test_a_segment_that_is_partly_in_the_log_is_never_given_up(tmp_path: Path) -> None:
    spool = long_spool(tmp_path / "spool")
    journal = Journal(spool.directory)
    journal.append(
        Acknowledged(
            stream=7, first=1, last=2, after=SpoolPosition(1, 700), latest_ms=NOON_MS,
            ended=False, topic_id="first", partition=0, offset=0,
        )
    )  # fmt: skip
    journal.close()

    kept = keep_room(spool.directory, bytes_max=1)

    assert kept == [1, segments(spool.directory)[-1].segment]


def test_deleting_without_a_message_leaves_a_hole(tmp_path: Path) -> None:
    """Negative control: this is what the row-less messages are for."""
    spool = long_spool(tmp_path / "spool")
    fresh = fresh_rows(spool.directory)
    (spool.directory / "000000000001.seg").unlink()
    log = Log()

    publish(spool.directory, log)

    read = read_log(log)
    assert read.gaps != []
    assert read.rows.num_rows + overflow(read)["flows"] < fresh.num_rows

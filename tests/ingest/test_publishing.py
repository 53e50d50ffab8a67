"""The decoder at work against a log in memory: killed and cut off anywhere, nothing twice."""

import asyncio
import errno
import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.decode.decoding import DecoderState
from services.ingest.publish.journal import Entry, Journal, Noted, last_acknowledged
from services.ingest.publish.publishing import Clocks, Publishing
from services.ingest.publish.ranges import Bounds
from services.ingest.publish.tally import read_tally
from services.ingest.spool.format import HEADER_BYTES, RecordKind
from services.ingest.spool.reader import segment_numbers, segments
from services.ingest.spool.recovery import end_last_stream
from services.ingest.status import read_status
from shared.kafka import KafkaAway
from shared.losses import LossReason
from tests.ingest.logs import Log, LogPublisher, away, failing_with, never, read_log, until
from tests.ingest.spools import (
    EXPORTERS,
    NOON_MS,
    WORKER,
    Datagram,
    Spool,
    datagrams,
    fresh_rows,
    v9_flows,
    v9_template,
)


def hasty_clocks() -> Clocks:
    """Return clocks by which a range's time is over at the second look."""
    seconds = itertools.count()
    return Clocks(wall_ms=lambda: NOON_MS, monotonic_s=lambda: float(next(seconds)))


ROOMY = 1 << 30


class Killed(BaseException):
    """Stands for `kill -9`: nothing after it runs."""


class KilledJournal(Journal):
    """A journal whose process may be killed before or after each line."""

    at: Callable[[str], None] = staticmethod(never)

    def append(self, entry: Entry) -> None:
        self.at("before journal")
        super().append(entry)
        self.at("after journal")


def publish(
    directory: Path,
    log: Log,
    *,
    at: Callable[[str], None] = never,
    bounds: Bounds | None = None,
    note_first: bool = True,
    spool_bytes_max: int = ROOMY,
    value_bytes_max: int = 1 << 20,
    write: Callable[[int, bytes], int] = os.write,
) -> None:
    """Run one decoder's life: until the spool is drained, or it is killed."""
    journal = KilledJournal(directory, write=write)
    journal.at = at
    publisher = LogPublisher(log, at=at, value_bytes_max=value_bytes_max)
    publishing = Publishing(
        directory, journal, publisher, collector=WORKER, spool_bytes_max=spool_bytes_max,
        make_state=DecoderState, clocks=hasty_clocks(), bounds=bounds, note_first=note_first,
        first_pause_s=0.0,
    )  # fmt: skip

    async def until_drained() -> None:
        running = asyncio.create_task(publishing.run())
        await until(lambda: running.done() or publishing.lag_bytes == 0)
        publishing.stop()
        await running

    try:
        asyncio.run(until_drained())
    except* Killed:
        pass
    finally:
        journal.close()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = write_spool(tmp_path / "spool")
    yield spool
    spool.close()


def write_spool(directory: Path) -> Spool:
    """Two streams over several segments and minutes, the second still open."""
    spool = Spool(directory, segment_bytes=1 << 13)
    spool.open(7)
    spool.write(datagrams(60, step_ms=2_500))
    spool.mark(RecordKind.END, NOON_MS + 200_000)
    spool.open(8, NOON_MS + 201_000)
    spool.write(
        [Datagram(EXPORTERS[0], v9_flows(5, seed=n + 1), NOON_MS + 201_000) for n in range(30)]
    )
    return spool


def test_everything_is_published_once_in_order(spool: Spool) -> None:
    log = Log()

    publish(spool.directory, log, bounds=Bounds(rows=100))

    read = read_log(log)
    assert read.gaps == []
    assert read.ended == {7}
    assert len(read.ranges) == len(log.messages)
    assert read.rows.equals(fresh_rows(spool.directory))
    assert last_acknowledged(spool.directory) == (8, spool.writer.next_number - 1)
    assert (spool.directory / "partitions").read_text() == "4\n"


def test_status_and_counters_are_there_for_the_holder(spool: Spool) -> None:
    publish(spool.directory, Log())

    status = read_status(spool.directory, "decoder")
    assert status is not None
    assert status.facts["unread_bytes"] == 0
    assert status.facts["acknowledged"] == spool.writer.next_number - 1
    tally = read_tally(spool.directory)
    assert sum(n for (name, *_), n in tally.items() if name == "decoded_flows") == 750
    assert tally[("acknowledged_offset", "0")] == tally[("published_messages",)] - 1


KILLS = st.lists(st.integers(0, 120), min_size=1, max_size=8)


@given(kills=KILLS, rows=st.integers(20, 200))
@settings(max_examples=30, deadline=None)
def test_kills_at_any_step_publish_the_same_ranges_and_rows(
    tmp_path_factory: pytest.TempPathFactory, kills: list[int], rows: int
) -> None:
    spool = write_spool(tmp_path_factory.mktemp("kills") / "spool")
    spool.close()
    log = Log()

    for number, kill in enumerate(kills):
        # Each life has other bounds: only what was noted says how to cut again.
        bounds = Bounds(rows=rows + 17 * number)
        publish(spool.directory, log, at=failing_with(Killed, kill), bounds=bounds)
    publish(spool.directory, log, bounds=Bounds(rows=2 * rows))

    read = read_log(log)
    assert read.gaps == []
    assert read.ended == {7}
    assert read.rows.equals(fresh_rows(spool.directory))
    assert_same_cuts(log)


def assert_same_cuts(log: Log) -> None:
    """A repeated range is byte for byte the one before, on `rates` too."""
    cuts: dict[tuple[int, int], tuple[int, bytes, bytes]] = {}
    for message in log.messages:
        flow_range = message.flow_range
        made = (flow_range.last, message.value, message.rates)
        assert cuts.setdefault((flow_range.stream, flow_range.first), made) == made


def test_without_the_range_log_a_repeat_is_cut_otherwise(spool: Spool) -> None:
    """Negative control: this is what noting ranges before they are sent is for."""
    log = Log()
    # connect, before send, after send.
    publish(
        spool.directory, log, at=failing_with(Killed, 2), bounds=Bounds(rows=50), note_first=False
    )
    publish(spool.directory, log, bounds=Bounds(rows=120), note_first=False)

    with pytest.raises(AssertionError):
        assert_same_cuts(log)


@given(failures=st.lists(st.integers(0, 150), max_size=12))
@settings(max_examples=20, deadline=None)
def test_an_outage_at_any_step_loses_and_doubles_nothing(
    tmp_path_factory: pytest.TempPathFactory, failures: list[int]
) -> None:
    spool = write_spool(tmp_path_factory.mktemp("away") / "spool")
    spool.close()
    log = Log()
    steps = failing_with(away, *failures)

    def at(step: str) -> None:
        if "journal" not in step:
            steps(step)

    publish(spool.directory, log, at=at, bounds=Bounds(rows=60))

    read = read_log(log)
    assert read.gaps == []
    assert read.rows.equals(fresh_rows(spool.directory))
    assert_same_cuts(log)


def test_a_topic_made_again_is_filled_from_the_oldest_kept_segment(spool: Spool) -> None:
    log = Log()
    publish(spool.directory, log, bounds=Bounds(rows=100))
    before = list(log.messages)
    log.make_again("second")
    spool.write([Datagram(EXPORTERS[0], v9_flows(5, seed=99), NOON_MS + 202_000)])

    publish(spool.directory, log, bounds=Bounds(rows=70))

    # A reader who has all of the first log finds nothing doubled; one who has nothing, everything.
    fresh = fresh_rows(spool.directory)
    assert read_log(log).rows.equals(fresh)
    assert read_log(Log("both", before + log.messages)).rows.equals(fresh)
    assert read_log(log).gaps == []
    assert read_tally(spool.directory)[("log_rewinds",)] == 1


@given(kills=KILLS, rows=st.integers(20, 200), lost=st.integers(0, 30), again=st.booleans())
@settings(max_examples=30, deadline=None)
def test_a_log_that_lost_its_tail_gets_the_same_ranges_again(
    tmp_path_factory: pytest.TempPathFactory,
    kills: list[int],
    rows: int,
    lost: int,
    again: bool,
) -> None:
    spool = write_spool(tmp_path_factory.mktemp("lost") / "spool")
    log = Log()
    everything = []
    for number, kill in enumerate(kills):
        bounds = Bounds(rows=rows + 17 * number)
        publish(spool.directory, log, at=failing_with(Killed, kill), bounds=bounds)
        everything += log.messages
        if again:
            log.make_again(f"again {number}")
        elif lost:
            del log.messages[-lost:]
    publish(spool.directory, log, bounds=Bounds(rows=2 * rows))
    spool.write([Datagram(EXPORTERS[0], v9_flows(5, seed=99), NOON_MS + 202_000)])
    publish(spool.directory, log, bounds=Bounds(rows=2 * rows))
    spool.close()

    read = read_log(log)
    assert read.gaps == []
    assert read.rows.equals(fresh_rows(spool.directory))
    assert_same_cuts(Log("both", everything + log.messages))


@pytest.mark.parametrize("others", [0, 1, 40])
def test_a_log_that_lost_its_tail_and_grew_by_another_collector_gets_them_again(
    spool: Spool, others: int
) -> None:
    log = Log()
    publish(spool.directory, log, bounds=Bounds(rows=50))
    log.lose(3, others=others)
    spool.write([Datagram(EXPORTERS[0], v9_flows(5, seed=99), NOON_MS + 202_000)])

    publish(spool.directory, log, bounds=Bounds(rows=50))

    read = read_log(log)
    assert read.gaps == []
    assert read.rows.equals(fresh_rows(spool.directory))
    assert read_tally(spool.directory)[("log_rewinds",)] == 1


def test_without_a_look_at_the_record_the_hole_stays(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control."""

    async def holds(_self: LogPublisher, _offsets: Mapping[int, int], _streams: object) -> bool:
        return True

    monkeypatch.setattr(LogPublisher, "holds", holds)
    log = Log()
    publish(spool.directory, log, bounds=Bounds(rows=50))
    log.lose(3, others=40)
    spool.write([Datagram(EXPORTERS[0], v9_flows(5, seed=99), NOON_MS + 202_000)])
    publish(spool.directory, log, bounds=Bounds(rows=50))

    assert read_log(log).gaps != []


def test_without_the_noted_cuts_a_rewind_cuts_otherwise(spool: Spool) -> None:
    """Negative control: losses and rates would be counted twice."""
    log = Log()
    publish(spool.directory, log, bounds=Bounds(rows=50))
    before = list(log.messages)
    log.make_again("second")
    for path in spool.directory.glob("*.cuts"):
        path.unlink()
    spool.write([Datagram(EXPORTERS[0], v9_flows(5, seed=99), NOON_MS + 202_000)])

    publish(spool.directory, log, bounds=Bounds(rows=120))

    with pytest.raises(AssertionError):
        assert_same_cuts(Log("both", before + log.messages))


def test_a_log_whose_end_was_cut_is_filled_again(spool: Spool) -> None:
    log = Log()
    publish(spool.directory, log, bounds=Bounds(rows=100))
    del log.messages[3:]

    publish(spool.directory, log, bounds=Bounds(rows=100))
    spool.write([Datagram(EXPORTERS[0], v9_flows(5, seed=99), NOON_MS + 202_000)])
    publish(spool.directory, log, bounds=Bounds(rows=100))

    read = read_log(log)
    assert read.gaps == []
    assert read.rows.equals(fresh_rows(spool.directory))


def test_rewinding_twice_after_a_kill_in_between_is_harmless(spool: Spool) -> None:
    log = Log()
    publish(spool.directory, log, bounds=Bounds(rows=100))
    log.make_again("second")
    spool.write([Datagram(EXPORTERS[0], v9_flows(5, seed=99), NOON_MS + 202_000)])

    for step in range(12):
        publish(spool.directory, log, at=failing_with(Killed, step), bounds=Bounds(rows=100))
    publish(spool.directory, log, bounds=Bounds(rows=100))

    read = read_log(log)
    assert read.gaps == []
    assert read.rows.equals(fresh_rows(spool.directory))


def test_a_refused_message_is_cut_smaller(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.open(7)
    spool.write(datagrams(60, flows=30))
    log = Log()

    publish(spool.directory, log, bounds=Bounds(message_bytes=80_000), value_bytes_max=12_000)

    read = read_log(log)
    assert len(log.messages) > 1
    assert max(len(m.value) for m in log.messages) <= 12_000
    assert read.gaps == []
    assert read.rows.equals(fresh_rows(spool.directory))


def test_a_spool_that_was_deleted_and_begun_anew_is_published_from_its_start(
    tmp_path: Path,
) -> None:
    spool = write_spool(tmp_path / "spool")
    log = Log()
    publish(spool.directory, log)
    for number in segment_numbers(spool.directory):
        (spool.directory / f"{number:012d}.seg").unlink()
    other = Spool(spool.directory)
    other.open(9, NOON_MS + 300_000)
    other.write(datagrams(8, at_ms=NOON_MS + 300_000))

    publish(spool.directory, log)

    read = read_log(log)
    assert read.gaps == []
    # The stream that vanished with the spool is ended.
    assert read.ended == {7, 8}
    assert read.ranges[-1].stream == 9
    assert read.ranges[-1].last == other.writer.next_number - 1


@pytest.mark.parametrize("lost", ["records", "segment", "segments"])
def test_a_journal_ahead_of_a_spool_that_lost_its_tail_doubles_and_hides_nothing(
    tmp_path: Path, lost: str
) -> None:
    """A machine lost power: what the kernel had not written of the spool is gone."""
    spool = write_spool(tmp_path / "spool")
    # Waits, and is released by what comes after.
    late = Datagram(EXPORTERS[3], v9_flows(5, template_id=400), NOON_MS + 201_000)
    spool.write([late] * 3)
    log = Log()
    publish(spool.directory, log, bounds=Bounds(rows=40))
    acknowledged = last_acknowledged(spool.directory)
    assert acknowledged is not None
    rows = read_log(log).rows.num_rows
    spool.writer.close()
    newest = segments(spool.directory)
    for segment in newest[-2:] if lost == "segments" else newest[-1:]:
        if lost == "records":
            os.truncate(segment.path, (HEADER_BYTES + segment.bytes) // 2)
        else:
            segment.path.unlink()

    recovered = end_last_stream(spool.directory, acknowledged)
    assert recovered.next_segment is not None
    after = Spool(spool.directory, next_segment=recovered.next_segment)
    after.open(9, NOON_MS + 230_000)
    after.write([Datagram(EXPORTERS[3], v9_template(400), NOON_MS + 231_000)])
    after.write(
        [Datagram(EXPORTERS[0], v9_flows(5, seed=n + 50), NOON_MS + 231_000) for n in range(60)]
    )
    publish(spool.directory, log, bounds=Bounds(rows=90))

    read = read_log(log)
    assert read.gaps == []
    assert read.ended == {7, 8}
    assert [r.last for r in read.ranges if r.stream == 9][-1] == after.writer.next_number - 1
    # Rows of the new stream, and of the sets that waited for their template, once.
    waited = read.rows.num_rows - rows - 300
    assert waited == 15


async def test_a_spool_deleted_under_a_running_decoder_ends_it_with_an_error(
    tmp_path: Path,
) -> None:
    spool = write_spool(tmp_path / "spool")
    log = Log()
    journal = Journal(spool.directory)
    publishing = Publishing(
        spool.directory, journal, LogPublisher(log), collector=WORKER,
        spool_bytes_max=ROOMY, make_state=DecoderState, clocks=hasty_clocks(),
    )  # fmt: skip
    running = asyncio.create_task(publishing.run())
    await until(lambda: publishing.lag_bytes == 0)
    shutil.rmtree(spool.directory)

    with pytest.raises(FileNotFoundError):
        await asyncio.wait_for(running, 30)
    journal.close()
    # The receiver goes on in a new folder; the decoder's next life publishes from there.
    spool.directory.mkdir()
    lost = spool.writer.next_number
    spool.writer.end_deleted_stream()
    spool.open(9, NOON_MS + 300_000)
    await asyncio.to_thread(publish, spool.directory, log)

    read = read_log(log)
    assert read.ended == {7, 8}
    assert [(r.first, r.last) for r in read.ranges if r.stream == 8][-1] == (lost, lost)
    assert read.ranges[-1].stream == 9


def test_a_damaged_record_in_a_sealed_segment_is_a_named_loss(spool: Spool) -> None:
    first = spool.directory / "000000000001.seg"
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 0xFF
    first.write_bytes(data)
    log = Log()

    publish(spool.directory, log)

    read = read_log(log)
    assert read.gaps == []
    lost = [x for r in read.ranges for x in r.losses if x.reason is LossReason.SPOOL_CORRUPT]
    assert [loss.datagrams for loss in lost] == [1]
    assert read_tally(spool.directory)[("corrupt_bytes",)] > 0


def test_a_full_disk_costs_acknowledged_segments_and_nothing_else(spool: Spool) -> None:
    fresh = fresh_rows(spool.directory)
    log = Log()
    writes = itertools.count()

    def write(file: int, line: bytes) -> int:
        number = next(writes)
        if number in range(8, 12):
            raise OSError(errno.ENOSPC, "no room")
        # Room for a part of the line only.
        return os.write(file, line[:5] if number == 20 else line)

    publish(spool.directory, log, write=write, bounds=Bounds(rows=60))

    read = read_log(log)
    assert next(writes) > 20
    assert read.gaps == []
    assert read.rows.equals(fresh)


async def test_without_a_broker_it_stops_when_told_and_says_why(tmp_path: Path) -> None:
    spool = write_spool(tmp_path / "spool")
    journal = Journal(spool.directory)

    def at(_step: str) -> None:
        raise KafkaAway("nobody answers")

    publishing = Publishing(
        spool.directory, journal, LogPublisher(Log(), at=at), collector=WORKER,
        spool_bytes_max=ROOMY, make_state=DecoderState, clocks=hasty_clocks(),
    )  # fmt: skip
    running = asyncio.create_task(publishing.run())
    async with asyncio.timeout(30):
        await until(lambda: "nobody answers" in publishing.reasons.get("kafka", ""))
        publishing.tell()
        status = read_status(spool.directory, "decoder")
        publishing.stop()
        await running

    assert status is not None
    assert status.reasons == {"kafka": "nobody answers"}
    assert status.facts["unread_bytes"] != 0
    assert not any(isinstance(entry, Noted) for entry in journal.state.noted)
    journal.close()

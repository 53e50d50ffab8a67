"""Where streams are cut: contiguous ranges, whatever the chunks, bounds and moments were."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.decode.decoding import DecoderState
from services.ingest.publish.encode import Message, message_bytes
from services.ingest.publish.journal import JournalState, Noted
from services.ingest.publish.ranges import Bounds, RangeMaker, folded_losses
from services.ingest.publish.tail import SpoolTail
from services.ingest.spool.format import RecordKind, SegmentHeader, SpoolRecord, encode_losses
from services.ingest.spool.reader import SpoolPosition
from shared.addresses import UNSPECIFIED
from shared.flow_message import FlowRange
from shared.losses import Loss, LossReason
from tests.ingest.spools import (
    EXPORTERS,
    NOON_MS,
    WORKER,
    Datagram,
    Spool,
    datagrams,
    fresh_rows,
    read_batch,
    sorted_rows,
    v9_flows,
    v9_template,
)

HEADER = SegmentHeader(stream=7, worker=WORKER, started_at_ms=NOON_MS, partitions=4, first_number=1)


def record(
    number: int,
    payload: bytes = b"",
    *,
    kind: RecordKind = RecordKind.DATAGRAM,
    at_ms: int = NOON_MS,
    exporter: bytes = EXPORTERS[0],
) -> SpoolRecord:
    return SpoolRecord(kind, number, at_ms, exporter, 2055, payload)


def maker_of(
    records: Sequence[SpoolRecord],
    *,
    bounds: Bounds | None = None,
    noted: Sequence[Noted] = (),
) -> RangeMaker:
    maker = RangeMaker(DecoderState(), collector=WORKER, bounds=bounds, noted=noted)
    assert maker.enter(HEADER, SpoolPosition(1, 512)) is None
    maker.add(1, records, [512 + number + 1 for number in range(len(records))])
    return maker


def all_of(maker: RangeMaker) -> list[Message]:
    found = []
    while (message := maker.take(flush=True)) is not None:
        found.append(message)
    return found


def spans(messages: Sequence[Message]) -> list[tuple[int, int]]:
    return [(m.flow_range.first, m.flow_range.last) for m in messages]


def drain(directory: Path, *, bounds: Bounds | None = None) -> list[Message]:
    with closing(
        SpoolTail(directory, JournalState(), DecoderState(), collector=WORKER, bounds=bounds)
    ) as tail:
        found = []
        while (message := tail.next_message(flush=True)) is not None:
            found.append(message)
        return found


def assert_contiguous(ranges: Sequence[FlowRange]) -> None:
    """Ranges of a stream follow one another, from 1, each within one minute."""
    next_number: dict[int, int] = {}
    for flow_range in ranges:
        assert flow_range.first == next_number.get(flow_range.stream, 1)
        next_number[flow_range.stream] = flow_range.last + 1
        assert flow_range.earliest_ms // 60_000 == flow_range.latest_ms // 60_000


def test_marks_and_datagrams_without_rows_are_numbers_of_the_range() -> None:
    losses = [Loss(EXPORTERS[1], LossReason.KERNEL_DROP, 8)]
    messages = all_of(
        maker_of(
            [
                record(1, kind=RecordKind.OPEN),
                record(2, v9_template()),
                record(3, b"nonsense"),
                record(4, encode_losses(losses), kind=RecordKind.LOSS),
                record(5, v9_flows(3)),
                record(6, kind=RecordKind.CLOCK),
            ]
        )
    )

    assert spans(messages) == [(1, 6)]
    flow_range = messages[0].flow_range
    assert flow_range.rows == 3
    assert losses[0] in flow_range.losses
    assert Loss(EXPORTERS[0], LossReason.UNKNOWN_VERSION, 1) in flow_range.losses
    assert not flow_range.ended


def test_a_range_ends_with_its_minute_and_with_the_end_mark() -> None:
    messages = all_of(
        maker_of(
            [
                record(1, kind=RecordKind.OPEN, at_ms=NOON_MS + 59_999),
                record(2, v9_template(), at_ms=NOON_MS + 60_000),
                record(3, kind=RecordKind.END, at_ms=NOON_MS + 60_001),
            ]
        )
    )

    assert spans(messages) == [(1, 1), (2, 3)]
    assert [m.flow_range.ended for m in messages] == [False, True]


def test_an_end_mark_below_the_numbers_sent_is_published_alone() -> None:
    maker = maker_of([record(4, kind=RecordKind.END)])
    maker.resume(stream=7, next_number=10, latest_ms=NOON_MS, ended=False)

    messages = all_of(maker)

    assert spans(messages) == [(4, 4)]
    assert messages[0].flow_range.ended
    assert maker.next_number == 10


def test_numbers_that_the_spool_lost_are_covered_and_named() -> None:
    messages = all_of(maker_of([record(1, kind=RecordKind.OPEN), record(6, v9_template())]))

    assert spans(messages) == [(1, 6)]
    assert messages[0].flow_range.losses == (Loss(UNSPECIFIED, LossReason.SPOOL_CORRUPT, 4),)


def test_repeats_are_passed_over() -> None:
    maker = maker_of([record(8), record(9), record(10)])
    maker.resume(stream=7, next_number=10, latest_ms=NOON_MS, ended=False)

    assert spans(all_of(maker)) == [(10, 10)]
    assert maker.repeats == 2


def test_a_stream_that_lost_its_end_mark_is_ended_when_the_next_begins() -> None:
    maker = maker_of([record(1, kind=RecordKind.OPEN)])
    all_of(maker)
    following = SegmentHeader(
        stream=8, worker=WORKER, started_at_ms=NOON_MS + 5, partitions=4, first_number=1
    )

    message = maker.enter(following, SpoolPosition(2, 512))

    assert message is not None
    assert (message.flow_range.stream, message.flow_range.first, message.flow_range.last) == (
        7,
        2,
        2,
    )
    assert message.flow_range.ended
    assert maker.stream == 8


def test_too_many_rows_close_a_range_between_datagrams() -> None:
    records = [record(1, v9_template()), *(record(n, v9_flows(10, seed=n)) for n in range(2, 12))]

    messages = all_of(maker_of(records, bounds=Bounds(rows=40)))

    assert spans(messages) == [(1, 5), (6, 9), (10, 11)]


def test_too_many_bytes_are_cut_by_datagram_and_decoded_again() -> None:
    records = [record(1, v9_template()), *(record(n, v9_flows(20, seed=n)) for n in range(2, 42))]
    bounds = Bounds(message_bytes=8_000, payload_bytes=1 << 30)
    maker = maker_of(records, bounds=bounds)
    maker._ratio = 0.0  # Nothing suggests the bound before it is passed.

    messages = all_of(maker)

    assert len(messages) > 2
    assert_contiguous([m.flow_range for m in messages])
    assert sum(m.flow_range.rows for m in messages) == 800
    for message in messages:
        assert message_bytes(WORKER.encode(), message.value, message.headers) <= 8_000
    # Its templates were learned once, by the first part.
    assert [key for message in messages for key, _ in message.changes if "template" in key] == [
        key for key, _ in messages[0].changes if "template" in key
    ]


def test_a_datagram_too_large_alone_is_dropped_whole_and_counted() -> None:
    records = [
        record(1, v9_template()),
        record(2, v9_flows(5)),
        record(3, v9_flows(1_500, seed=3)),
        record(4, v9_flows(5, seed=4)),
    ]

    messages = all_of(maker_of(records, bounds=Bounds(message_bytes=15_000)))

    assert_contiguous([m.flow_range for m in messages])
    assert messages[-1].flow_range.last == 4
    assert sum(m.flow_range.rows for m in messages) == 10
    assert [loss for m in messages for loss in m.flow_range.losses] == [
        Loss(EXPORTERS[0], LossReason.TOO_LARGE, 1, 1_500)
    ]


def many_losses(count: int) -> list[Loss]:
    """As of sets that gave up their wait at one record, each of another exporter."""
    exporters = [bytes([0x20, 1, 0xD, 0xB8, *bytes(8), *n.to_bytes(4)]) for n in range(count)]
    return [
        Loss(exporter, LossReason.TEMPLATE_MISSING, 1 + number % 2)
        for number, exporter in enumerate(exporters)
    ]


def test_a_record_with_the_losses_of_too_many_exporters_has_a_message_that_fits() -> None:
    losses = many_losses(41_700)
    records = [
        record(1, encode_losses(losses), kind=RecordKind.LOSS),
        record(2, v9_template()),
        record(3, v9_flows(5)),
    ]

    messages = all_of(maker_of(records))

    assert_contiguous([m.flow_range for m in messages])
    sizes = [message_bytes(WORKER.encode(), m.value, m.headers) for m in messages]
    assert max(sizes) <= Bounds().message_bytes
    assert sum(m.flow_range.rows for m in messages) == 5
    found = [loss for m in messages for loss in m.flow_range.losses]
    assert {loss.reason for loss in found} == {LossReason.TEMPLATE_MISSING}
    assert sum(loss.datagrams for loss in found) == sum(loss.datagrams for loss in losses)
    (rest,) = (loss for loss in found if loss.exporter == UNSPECIFIED)
    # The largest keep their names.
    assert {loss.datagrams for loss in found} == {2, rest.datagrams}


def test_losses_are_folded_alike_whatever_their_order() -> None:
    losses = many_losses(9_000)
    assert folded_losses(losses) == folded_losses(losses[::-1])
    assert folded_losses(losses[:4_096]) == tuple(losses[:4_096])


def test_what_was_noted_is_cut_exactly_so_again() -> None:
    records = [record(1, v9_template()), *(record(n, v9_flows(10, seed=n)) for n in range(2, 12))]
    noted = [
        Noted(stream=7, first=1, last=7, after=SpoolPosition(1, 600)),
        Noted(stream=7, first=8, last=8, after=SpoolPosition(1, 700)),
    ]

    messages = all_of(maker_of(records, bounds=Bounds(rows=40), noted=noted))

    assert spans(messages) == [(1, 7), (8, 8), (9, 11)]


def test_a_noted_range_waits_for_all_its_records() -> None:
    noted = [Noted(stream=7, first=1, last=3, after=SpoolPosition(1, 600))]
    maker = maker_of([record(1), record(2)], noted=noted)
    assert maker.take(flush=True) is None

    maker.add(1, [record(3)], [900])

    assert spans(all_of(maker)) == [(1, 3)]


@pytest.fixture(scope="module")
def two_streams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two streams over several segments and minutes; the second was killed and has no end mark."""
    spool = Spool(tmp_path_factory.mktemp("spool"), segment_bytes=1 << 13)
    spool.open(7)
    spool.write(datagrams(60, step_ms=2_500))
    spool.mark(RecordKind.END, NOON_MS + 200_000)
    spool.open(8, NOON_MS + 201_000)
    spool.write([Datagram(EXPORTERS[0], v9_flows(5, seed=n), NOON_MS + 201_000) for n in range(30)])
    return spool.directory


@given(
    rows=st.integers(1, 400),
    message_bytes_max=st.integers(6_000, 60_000),
)
@settings(max_examples=25, deadline=None)
def test_any_cut_publishes_the_same_rows(
    two_streams: Path, rows: int, message_bytes_max: int
) -> None:
    bounds = Bounds(rows=rows, message_bytes=message_bytes_max)

    messages = drain(two_streams, bounds=bounds)

    assert_contiguous([m.flow_range for m in messages])
    batches = [read_batch(m.value) for m in messages if m.value]
    assert sorted_rows(batches).equals(fresh_rows(two_streams))


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_going_on_from_any_range_gives_the_same_messages(
    two_streams: Path, data: st.DataObject
) -> None:
    """The state at a range's end and the noted cuts behind it are all that a restart needs."""
    bounds = Bounds(rows=data.draw(st.integers(20, 200)))
    whole = drain(two_streams, bounds=bounds)
    done = data.draw(st.integers(1, len(whole) - 1))
    last = whole[done - 1]
    decoder: dict[str, str] = {}
    for message in whole[:done]:
        for key, value in message.changes:
            decoder.pop(key, None)
            if value is not None:
                decoder[key] = value
    journal = JournalState(
        position=last.after,
        stream=last.flow_range.stream,
        next_number=last.flow_range.last + 1,
        latest_ms=last.latest_ms,
        ended=last.flow_range.ended,
        decoder=decoder,
        noted=tuple(
            Noted(
                stream=m.flow_range.stream,
                first=m.flow_range.first,
                last=m.flow_range.last,
                after=m.after,
            )
            for m in whole[done : done + 2]
        ),
    )
    with closing(
        SpoolTail(
            two_streams,
            journal,
            DecoderState(),
            collector=WORKER,
            bounds=Bounds(rows=bounds.rows * 3),
        )
    ) as tail:
        again = [tail.next_message(flush=True) for _ in whole[done : done + 2]]

    assert [(m.flow_range, m.value, m.rates) for m in again if m is not None] == [
        (m.flow_range, m.value, m.rates) for m in whole[done : done + 2]
    ]

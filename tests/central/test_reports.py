"""Reports: exact while minutes close, and nothing typed becomes SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.central import reports
from services.central.filters import BY, FILTERS, RAW_COLUMNS, ReportError
from services.central.reports import LATEST_MS, Cursor, Kept, ReportRequest
from services.central.sources import OpenStreams
from services.central.store import FlowStore, LossRow
from shared.flow_record import COLUMNS
from shared.losses import LossReason
from tests.central.flow_values import DAY_MS, HOUR, HOUR_MS, MINUTE_MS, ask
from tests.central.report_answers import RAW_SUMS, WHOLE, answer, fill, raw_totals


@pytest.fixture(scope="module")
def filled(shared_store: FlowStore) -> tuple[FlowStore, OpenStreams]:
    return shared_store, fill(shared_store)


@pytest.fixture
def store(filled: tuple[FlowStore, OpenStreams]) -> FlowStore:
    return filled[0]


@pytest.fixture
def streams(filled: tuple[FlowStore, OpenStreams]) -> OpenStreams:
    return filled[1]


def test_totals_are_those_of_the_raw_rows(store: FlowStore, streams: OpenStreams) -> None:
    assert answer(store, reports.totals(WHOLE, streams)) == [raw_totals(store)]


def test_a_stream_outside_the_vector_is_answered_from_roll_ups_alone(
    store: FlowStore, streams: OpenStreams
) -> None:
    rows = answer(store, reports.totals(WHOLE, [streams[0]]))
    assert rows == [raw_totals(store, "stream != 3")]
    rows = answer(store, reports.totals(WHOLE, []))
    # Of an ended stream every hour is closed; stream 1 is none, and lacks its second.
    closed = f"stream = 2 OR (stream = 1 AND received_at < toDateTime({HOUR // 1000}, 'UTC'))"
    assert rows == [raw_totals(store, closed)]


@pytest.mark.parametrize("by", BY)
def test_every_grouping_equals_the_raw_rows(
    store: FlowStore, streams: OpenStreams, by: str
) -> None:
    statement = reports.top(replace(WHOLE, by=by, metric="packets", scaled=True), streams)
    keys = [f"{RAW_COLUMNS[column]} AS k_{column}" for column in BY[by]]
    names = [f"k_{column}" for column in BY[by]]
    raw = ask(
        store,
        f"SELECT {', '.join(keys)}, {RAW_SUMS} FROM flows GROUP BY {', '.join(names)} "
        f"ORDER BY s_packets_scaled DESC, {', '.join(names)}",
    )
    assert [tuple(row.values()) for row in answer(store, statement)] == raw


FILTERED: Sequence[tuple[dict[str, list[str]], str, str]] = [
    ({"exporter": ["0.0.0.2"]}, "exporter = toIPv6('::ffff:0.0.0.2')", "rollups"),
    ({"exporter": ["0.0.0.2/31"]}, "exporter >= toIPv6('::ffff:0.0.0.2')", "rollups"),
    ({"in_if": ["1", "2"]}, "in_if IN (1, 2)", "rollups"),
    ({"out_if": ["0"]}, "out_if = 0", "rollups"),
    ({"interface": ["1"]}, "in_if = 1 OR out_if = 1", "raw"),
    ({"in_if": ["1"], "out_if": ["2"]}, "in_if = 1 AND out_if = 2", "raw"),
    ({"src_addr": ["0.0.0.0/28"]}, "src_addr < toIPv6('::ffff:0.0.0.16')", "rollups"),
    ({"dst_addr": ["::ffff:0:0/96"]}, "1", "rollups"),
    (
        {"host": ["0.0.0.7"]},
        "src_addr = toIPv6('::ffff:0.0.0.7') OR dst_addr = toIPv6('::ffff:0.0.0.7')",
        "raw",
    ),
    ({"protocol": ["UDP", "1"]}, "protocol IN (17, 1)", "rollups"),
    (
        {"application": ["tcp/53", "icmp"]},
        "(protocol = 6 AND dst_port = 53) OR protocol = 1",
        "rollups",
    ),
    ({"application_port": ["443"]}, "protocol != 1 AND dst_port = 443", "rollups"),
    ({"port": ["443"]}, "dst_port = 443", "raw"),
    ({"src_as": ["64500"], "dst_as": ["64502"]}, "src_as = 64500 AND dst_as = 64502", "rollups"),
    ({"as": ["64501"]}, "src_as = 64501", "rollups"),
    ({"dscp": ["46"]}, "tos = 184", "rollups"),
    ({"collector": ["c/1", "c/3"]}, "stream != 2", "rollups"),
    ({"collector": ["c/1"], "dscp": ["46"]}, "stream = 1 AND tos = 184", "rollups"),
    ({"tcp_flags": ["2"]}, "0", "raw"),
]


@pytest.mark.parametrize(("filters", "where", "source"), FILTERED, ids=str)
def test_every_filter_equals_the_raw_rows(
    store: FlowStore,
    streams: OpenStreams,
    filters: Mapping[str, Sequence[str]],
    where: str,
    source: str,
) -> None:
    statement = reports.totals(replace(WHOLE, filters=filters), streams)
    assert statement.source == source
    assert answer(store, statement) == [raw_totals(store, where)]


@pytest.mark.parametrize("step_s", [60, 120, 3600, 7200])
def test_a_series_adds_up_to_the_totals(
    store: FlowStore, streams: OpenStreams, step_s: int
) -> None:
    rows = answer(store, reports.timeseries(replace(WHOLE, step_s=step_s), streams))

    raw = ask(
        store,
        f"SELECT intDiv(toUnixTimestamp(toStartOfMinute(received_at)), {step_s}) * {step_s} AS at, "
        f"{RAW_SUMS} FROM flows GROUP BY at ORDER BY at",
    )
    assert [tuple(row.values()) for row in rows] == raw


def test_a_series_by_group_holds_the_largest_groups_whole(
    store: FlowStore, streams: OpenStreams
) -> None:
    request = replace(WHOLE, by="src_addr", limit=3, step_s=60)
    rows = answer(store, reports.timeseries(request, streams))
    largest = answer(store, reports.top(request, streams))

    summed: dict[bytes, int] = {}
    for row in rows:
        summed[row["src_addr"]] = summed.get(row["src_addr"], 0) + row["bytes"]
    assert summed == {row["src_addr"]: row["bytes"] for row in largest}


def test_a_part_of_the_range_takes_minutes_at_its_edges(
    store: FlowStore, streams: OpenStreams
) -> None:
    for first, last in [(-2, 2), (0, 1), (-60, 3), (-60, 60), (1, 60)]:
        request = replace(WHOLE, from_ms=HOUR + first * MINUTE_MS, to_ms=HOUR + last * MINUTE_MS)
        where = (
            f"received_at >= toDateTime({request.from_ms // 1000}, 'UTC') "
            f"AND received_at < toDateTime({request.to_ms // 1000}, 'UTC')"
        )
        assert answer(store, reports.totals(request, streams)) == [raw_totals(store, where)]


def test_exporters_and_interfaces_are_whole(store: FlowStore, streams: OpenStreams) -> None:
    exporters = answer(store, reports.exporters(WHOLE, streams))
    assert [row["exporter"][-1] for row in exporters] == [1, 2, 3]
    assert sum(row["flows"] for row in exporters) == raw_totals(store)["flows"]

    interfaces = answer(store, reports.interfaces(WHOLE, streams))
    raw = ask(
        store,
        "SELECT exporter, interface, countIf(way = 1), countIf(way = 2) FROM (SELECT exporter, "
        "arrayJoin([(1, in_if), (2, out_if)]) AS pair, pair.1 AS way, pair.2 AS interface "
        "FROM flows) GROUP BY exporter, interface ORDER BY exporter, interface",
    )
    assert [
        (row["exporter"], row["interface"], row["in_flows"], row["out_flows"]) for row in interfaces
    ] == raw


@pytest.mark.parametrize("name", ["in_if", "out_if"])
def test_both_directions_of_interfaces_cover_one_range_and_say_what_is_dropped(
    store: FlowStore, streams: OpenStreams, name: str
) -> None:
    kept = Kept(raw_from_ms=HOUR + 2 * MINUTE_MS, minutes_from_ms=HOUR + DAY_MS)
    request = replace(WHOLE, from_ms=HOUR - 2 * MINUTE_MS, to_ms=HOUR + 2 * MINUTE_MS)
    statement = reports.interfaces(replace(request, filters={name: ["3"]}), streams, kept)
    assert (statement.source, len(statement.notes)) == ("raw", 1)
    assert (statement.from_ms, statement.to_ms) == (request.from_ms, request.to_ms)

    rows = answer(store, statement)
    where = (
        f"{name} = 3 AND received_at >= toDateTime({request.from_ms // 1000}, 'UTC') "
        f"AND received_at < toDateTime({request.to_ms // 1000}, 'UTC')"
    )
    flows = raw_totals(store, where)["flows"]
    assert sum(row["in_flows"] for row in rows) == flows
    assert sum(row["out_flows"] for row in rows) == flows

    assert reports.interfaces(request, streams).source == "rollups"


def test_losses_of_more_exporters_than_a_report_may_list_are_summed_whole(
    store: FlowStore,
) -> None:
    many = reports.LIMIT_MAX + 1
    row = LossRow(
        stream=9,
        first=1,
        last=1,
        minute_ms=HOUR,
        exporter=bytes(16),
        reason=LossReason.TEMPLATE_MISSING,
        datagrams=1,
        flows=2,
    )
    rows = [replace(row, exporter=number.to_bytes(16, "big")) for number in range(many)]
    store.insert_losses(rows, token="many")

    listed = answer(store, reports.losses(WHOLE))
    assert len(listed) == reports.LIMIT_MAX
    assert len(answer(store, reports.one_more(reports.losses(WHOLE)))) == many
    (summed,) = answer(store, reports.losses(WHOLE, by_exporter=False))
    assert (summed["datagrams"], summed["flows"]) == (many, 2 * many)


def pages(store: FlowStore, request: ReportRequest) -> list[list[dict[str, Any]]]:
    found, cursor = [], None
    while True:
        statement = reports.flows(request, cursor)
        table = store.query_arrow(statement.sql, statement.parameters)
        found.append(table.to_pylist())
        keys = [
            table.column("received_at").cast(pa.int64()).to_pylist(),
            table.column("stream").to_pylist(),
            table.column("datagram").to_pylist(),
        ]
        cursor = reports.next_cursor(list(zip(*keys, strict=True)), request.limit, cursor)
        if cursor is None:
            return found
        assert Cursor.decode(cursor.encode()) == cursor


@pytest.mark.parametrize("limit", [7, 100, 1000])
def test_pages_of_flows_hold_every_row_once(
    store: FlowStore, streams: OpenStreams, limit: int
) -> None:
    request = replace(WHOLE, limit=limit, filters={"in_if": ["3"]})
    rows = [row for page in pages(store, request) for row in page]
    order = "received_at DESC, stream DESC, datagram DESC"
    raw = ask(
        store,
        f"SELECT received_at, stream, datagram FROM flows WHERE in_if = 3 ORDER BY {order}",
    )
    assert [(row["received_at"], row["stream"], row["datagram"]) for row in rows] == raw
    key = ("datagram", "stream", "src_addr", "dst_addr", "bytes")
    hashes = {tuple(row[name] for name in key) for row in rows}
    assert len(hashes) == len(rows)


@pytest.mark.parametrize("limit", [7, 10, 13, 1000])
@pytest.mark.parametrize("filters", [{}, {"exporter": ["0.0.0.2"]}, {"in_if": ["77"]}], ids=str)
def test_pages_are_the_whole_list_in_its_order_also_across_one_datagram(
    store: FlowStore, streams: OpenStreams, limit: int, filters: dict[str, list[str]]
) -> None:
    # Ten rows to a datagram, of which some share the instant: most pages end between two of one.
    request = replace(
        WHOLE, from_ms=HOUR + 2 * MINUTE_MS, to_ms=HOUR + 3 * MINUTE_MS, filters=filters
    )
    test = {(): "1", ("exporter",): "exporter = toIPv6('::ffff:0.0.0.2')", ("in_if",): "in_if = 77"}
    names = ", ".join(column.name for column in COLUMNS)
    whole = store.query_arrow(
        f"SELECT {names} FROM flows WHERE {test[tuple(filters)]} "
        f"AND received_at >= toDateTime({request.from_ms // 1000}, 'UTC') "
        f"AND received_at < toDateTime({request.to_ms // 1000}, 'UTC') "
        f"ORDER BY received_at DESC, stream DESC, datagram DESC, cityHash64({names})",
        {},
    ).to_pylist()
    found = pages(store, replace(request, limit=limit))
    assert [row for page in found for row in page] == whole
    assert {len(page) for page in found[:-1]} <= {limit}


def test_a_range_off_the_minutes_is_widened_and_says_so() -> None:
    statement = reports.totals(replace(WHOLE, from_ms=HOUR + 1, to_ms=HOUR + 2), [])
    assert (statement.from_ms, statement.to_ms) == (HOUR, HOUR + MINUTE_MS)
    assert statement.notes == ("widened to whole minutes",)
    assert reports.totals(WHOLE, []).notes == ()


def test_what_is_older_than_the_minutes_is_answered_in_hours() -> None:
    kept = Kept(minutes_from_ms=HOUR + DAY_MS)
    request = replace(WHOLE, from_ms=HOUR + MINUTE_MS, to_ms=HOUR + 2 * MINUTE_MS, step_s=60)
    statement = reports.timeseries(request, [], kept)
    assert (statement.from_ms, statement.to_ms) == (HOUR, HOUR + HOUR_MS)
    assert statement.parameters["step_s"] == 3600
    assert len(statement.notes) == 2


def test_raw_rows_that_are_dropped_are_said() -> None:
    kept = Kept(raw_from_ms=HOUR)
    assert reports.totals(replace(WHOLE, filters={"port": ["1"]}), [], kept).notes
    assert reports.flows(replace(WHOLE, limit=1), None, kept).notes
    assert not reports.totals(WHOLE, [], kept).notes


def test_of_all_there_is_only_dropped_hours_are_not_said() -> None:
    kept = Kept(raw_from_ms=HOUR, minutes_from_ms=HOUR, hours_from_ms=HOUR)
    of_all = replace(WHOLE, from_ms=0, to_ms=LATEST_MS, of_all=True)
    assert reports.totals(of_all, [], kept).notes == ()
    assert len(reports.totals(replace(of_all, of_all=False), [], kept).notes) == 1
    (note,) = reports.totals(replace(of_all, filters={"host": ["10.0.0.1"]}), [], kept).notes
    assert note.startswith("only flow records answer this")


def test_a_range_with_a_minute_under_repair_says_so() -> None:
    kept = Kept(repairs=[(HOUR, HOUR + MINUTE_MS), (HOUR + MINUTE_MS, HOUR + 2 * MINUTE_MS)])
    (note,) = reports.totals(WHOLE, [], kept).notes
    assert note.startswith("the minute 2023-11-14T23:00:00.000Z and 1 more is under repair")
    assert reports.flows(replace(WHOLE, limit=1), None, kept).notes == (note,)
    later = replace(WHOLE, from_ms=HOUR + 2 * MINUTE_MS, to_ms=HOUR + 3 * MINUTE_MS)
    assert reports.totals(later, [], kept).notes == ()


NONSENSE: Sequence[tuple[str, ReportRequest]] = [
    ("by", replace(WHOLE, by="bytes; DROP TABLE flows")),
    ("by", replace(WHOLE, by=None)),
    ("metric", replace(WHOLE, by="exporter", metric="1")),
    ("limit", replace(WHOLE, by="exporter", limit=0)),
    ("limit", replace(WHOLE, by="exporter", limit=10**9)),
    ("from", replace(WHOLE, by="exporter", from_ms=-1)),
    ("to", replace(WHOLE, by="exporter", to_ms=WHOLE.from_ms)),
    ("to", replace(WHOLE, by="exporter", to_ms=2**60)),
    ("colour", replace(WHOLE, by="exporter", filters={"colour": ["red"]})),
    ("in_if", replace(WHOLE, by="exporter", filters={"in_if": ["-1"]})),
    ("in_if", replace(WHOLE, by="exporter", filters={"in_if": ["4294967296"]})),
    ("in_if", replace(WHOLE, by="exporter", filters={"in_if": []})),
    ("in_if", replace(WHOLE, by="exporter", filters={"in_if": ["²"]})),
    ("src_addr", replace(WHOLE, by="exporter", filters={"src_addr": ["10.0.0"]})),
    ("dst_addr", replace(WHOLE, by="exporter", filters={"dst_addr": ["::/129"]})),
    ("protocol", replace(WHOLE, by="exporter", filters={"protocol": ["tpc"]})),
    ("application", replace(WHOLE, by="exporter", filters={"application": ["tcp/http"]})),
    ("dscp", replace(WHOLE, by="exporter", filters={"dscp": ["64"]})),
]


@pytest.mark.parametrize(("parameter", "request_"), NONSENSE, ids=str)
def test_nonsense_names_its_parameter(parameter: str, request_: ReportRequest) -> None:
    with pytest.raises(ReportError) as caught:
        reports.top(request_, [])
    assert caught.value.parameter == parameter


@pytest.mark.parametrize("step_s", [None, 0, 59, 90, 60 * 10**9])
def test_a_step_of_nonsense_is_refused(step_s: int | None) -> None:
    with pytest.raises(ReportError, match="step"):
        reports.timeseries(replace(WHOLE, step_s=step_s), [])


def test_too_many_buckets_are_refused() -> None:
    with pytest.raises(ReportError, match="buckets"):
        reports.timeseries(replace(WHOLE, from_ms=0, step_s=60), [])


@given(st.text(max_size=60))
def test_any_text_as_cursor_is_read_or_refused(text: str) -> None:
    try:
        Cursor.decode(text)
    except ReportError:
        return


@given(st.sampled_from(sorted(FILTERS)), st.text(max_size=40))
def test_what_is_typed_never_becomes_sql(name: str, text: str) -> None:
    try:
        typed = reports.top(replace(WHOLE, by="exporter", filters={name: [text]}), [])
    except ReportError:
        return
    usual = {"address": "10.0.0.0/8", "application": "tcp/443", "text": "c/0"}
    plain = {name: [usual.get(FILTERS[name].kind, "1")]}
    assert typed.sql == reports.top(replace(WHOLE, by="exporter", filters=plain), []).sql


def test_text_with_quotes_stays_text(store: FlowStore, streams: OpenStreams) -> None:
    for text in ("c/1' OR 1=1 --", "\\'; DROP TABLE flows", "{x:String}", "c/1\n\t"):
        request = replace(WHOLE, filters={"collector": [text]})
        assert answer(store, reports.totals(request, streams))[0]["flows"] == 0
    assert raw_totals(store)["flows"] == 4200

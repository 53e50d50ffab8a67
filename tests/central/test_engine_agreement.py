"""The engine against sums made in Python, on random rows at the edges of minutes and parts.

chDB has pruned parts by wrong bounds before (see store/closing.py). STEADFLOW_TEST_SEEDS runs more
seeds than the usual ones.
"""

import os
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

import pyarrow as pa
import pytest

from services.central import reports
from services.central.filters import BY
from services.central.reports import ReportRequest
from services.central.sources import OpenStream
from services.central.store import FlowStore, LossRow
from services.central.store.rollups import DIMENSIONS, GROUPING_SETS, SUMS, Level
from tests.central.flow_values import DAY_MS, HOUR_MS, MINUTE_MS, ask
from tests.central.random_flows import (
    ADDRESSES,
    MIDNIGHT,
    STREAMS,
    Flow,
    edge,
    in_network,
    insert_message,
    random_filters,
    random_messages,
    sums,
)
from tests.central.report_answers import answer

SEEDS = range(int(os.environ.get("STEADFLOW_TEST_SEEDS", "1")))
FIRST_MS, LAST_MS = MIDNIGHT - 2 * DAY_MS, MIDNIGHT + 2 * DAY_MS
Vector = dict[int, OpenStream]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_answer_is_that_of_the_rows(store: FlowStore, seed: int) -> None:
    rng = random.Random(seed)
    messages = random_messages(rng, each=20)
    flows: list[Flow] = []
    vector: Vector = {stream: OpenStream(stream, 0, 0) for stream in STREAMS}
    closed: set[tuple[Level, int, int]] = set()
    if rng.random() < 0.5:
        # Every part stays as it was inserted.
        store._work.command("SYSTEM STOP MERGES")
    # Rows and closings take turns, so that minutes close over old parts and new ones.
    for turn in range(0, len(messages), 20):
        for message in messages[turn : turn + 20]:
            insert_message(store, message)
            flows += message
        check_maxima(store, flows)
        close_some(store, rng, flows, vector, closed)
        check_open(store, rng, flows, vector, closed)
        for _ in range(6):
            check_reports(store, rng, flows, list(vector.values()))
    check_roll_ups(store, flows, closed)
    check_pages(store, rng, flows)
    check_drops(store, flows)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_answer_about_losses_is_that_of_the_rows(store: FlowStore, seed: int) -> None:
    rng = random.Random(seed)
    rows = []
    for at in range(40):
        minute_ms = edge(rng) // MINUTE_MS * MINUTE_MS
        row = LossRow(
            stream=rng.choice(STREAMS), first=at + 1, last=at + 1, minute_ms=minute_ms,
            exporter=rng.choice(ADDRESSES), reason=rng.choice([1, 15]), datagrams=rng.randint(1, 9),
            flows=rng.randint(0, 9),
        )  # fmt: skip
        store.insert_losses([row], token=str(at))
        rows.append(row)
    assert store.loss_maxima() == largest((row.stream, row.last) for row in rows)
    for _ in range(20):
        from_ms, to_ms = span(rng)
        network = rng.choice(["10.0.0.0/8", "::/0", "2001:db8::/32", "::"])
        request = ReportRequest(
            from_ms=from_ms, to_ms=to_ms, limit=1000, filters={"exporter": [network]}
        )
        expected: dict[tuple[bytes, int], list[int]] = defaultdict(lambda: [0, 0])
        for row in rows:
            if from_ms <= row.minute_ms < to_ms and in_network(row.exporter, network):
                expected[row.exporter, row.reason][0] += row.datagrams
                expected[row.exporter, row.reason][1] += row.flows
        found = answer(store, reports.losses(request))
        assert {
            (r["exporter"], r["reason"]): [r["datagrams"], r["flows"]] for r in found
        } == expected, (seed, request)
    day = datetime.fromtimestamp(MIDNIGHT / 1000, UTC).date()
    store.drop_losses_before(day)
    kept = sum(row.minute_ms >= MIDNIGHT for row in rows)
    assert ask(store, "SELECT count() FROM losses") == [(kept,)]


def close_some(
    store: FlowStore,
    rng: random.Random,
    flows: Sequence[Flow],
    vector: Vector,
    closed: set[tuple[Level, int, int]],
) -> None:
    """Close some minutes of each stream, in order and none newest, and the hours that are due."""
    for stream, now in list(vector.items()):
        minutes = sorted({flow.minute_ms for flow in flows if flow.stream == stream})
        due = [m for m in minutes[:-1] if (Level.MINUTE, stream, m) not in closed]
        for minute in due[: rng.randint(0, len(due))]:
            assert store.close_minute(stream, minute)
            closed.add((Level.MINUTE, stream, minute))
            now = OpenStream(stream, minute + MINUTE_MS, now.hours_until_ms)
        until_ms = now.minutes_until_ms // HOUR_MS * HOUR_MS
        for hour in sorted({m // HOUR_MS * HOUR_MS for m in minutes if m < until_ms}):
            assert store.close_hour(stream, hour)
            closed.add((Level.HOUR, stream, hour))
        vector[stream] = OpenStream(stream, now.minutes_until_ms, until_ms)


def check_maxima(store: FlowStore, flows: Sequence[Flow]) -> None:
    assert store.flow_maxima() == largest((flow.stream, flow.datagram) for flow in flows)


def check_open(
    store: FlowStore,
    rng: random.Random,
    flows: Sequence[Flow],
    vector: Vector,
    closed: set[tuple[Level, int, int]],
) -> None:
    for stream, now in vector.items():
        minutes = sorted({flow.minute_ms for flow in flows if flow.stream == stream})
        for since in (0, now.minutes_until_ms, edge(rng)):
            since_minute = since // MINUTE_MS * MINUTE_MS
            expected = [minute for minute in minutes if minute >= since_minute]
            assert store.open_minutes(stream, since=since) == expected
        ends = [(level, at + level.seconds * 1000) for level, of, at in closed if of == stream]
        hours = max((end for level, end in ends if level is Level.HOUR), default=0)
        until = (max(end for _, end in ends), hours) if ends else None
        assert store.rolled_until(stream) == until


def check_reports(
    store: FlowStore, rng: random.Random, flows: Sequence[Flow], streams: Sequence[OpenStream]
) -> None:
    filters, passes = random_filters(rng)
    from_ms, to_ms = span(rng)
    step_s = rng.choice([60, 120, 3600, 86_400])
    by = rng.choice(sorted(BY.keys() & {"exporter", "in_if", "application", "src_addr", "as_pair",
                                        "collector", "conversation", "dst_port"}))  # fmt: skip
    request = ReportRequest(
        from_ms=from_ms, to_ms=to_ms, by=by, limit=10_000, step_s=step_s, filters=filters
    )
    wanted = [f for f in flows if from_ms <= f.received_at < to_ms and passes(f)]
    assert answer(store, reports.totals(request, streams)) == [sums(wanted)], request

    found = answer(store, reports.top(request, streams))
    columns = BY[by]
    assert {tuple(row[c] for c in columns): {n: row[n] for n in SUMS} for row in found} == grouped(
        wanted, lambda flow: tuple(getattr(flow, column) for column in columns)
    ), request

    series = answer(store, reports.timeseries(replace_by(request, None), streams))
    assert {row["at"]: {n: row[n] for n in SUMS} for row in series} == grouped(
        wanted, lambda flow: flow.minute_ms // 1000 // step_s * step_s
    ), request


def check_roll_ups(
    store: FlowStore, flows: Sequence[Flow], closed: set[tuple[Level, int, int]]
) -> None:
    for level in Level:
        for each in GROUPING_SETS:
            names = list(each.dimensions)
            rows = ask(
                store,
                f"SELECT toUnixTimestamp(starts_at), stream, {''.join(f'{n}, ' for n in names)}"
                f"{', '.join(SUMS)} FROM rollups WHERE level = {{level:UInt8}} "
                "AND grouping = {code:UInt8}",
                level=int(level),
                code=each.code,
            )
            found = {row[: -len(SUMS)]: row[-len(SUMS) :] for row in rows}
            assert len(found) == len(rows)
            length_ms = level.seconds * 1000
            rolled = [f for f in flows if (level, f.stream, start(f, length_ms)) in closed]
            expected = grouped(rolled, partial(roll_up_key, names, length_ms))
            assert found == {key: tuple(of.values()) for key, of in expected.items()}, each
    assert DIMENSIONS.keys() == {"application_port", "dscp"} | (DIMENSIONS.keys() & dir(Flow))


def roll_up_key(names: Sequence[str], length_ms: int, flow: Flow) -> tuple[object, ...]:
    values = (getattr(flow, name) for name in names)
    return (start(flow, length_ms) // 1000, flow.stream, *values)


def check_pages(store: FlowStore, rng: random.Random, flows: Sequence[Flow]) -> None:
    for _ in range(3):
        filters, passes = random_filters(rng)
        from_ms, to_ms = span(rng)
        limit = rng.choice([1, 3, 7, 1000])
        request = ReportRequest(from_ms=from_ms, to_ms=to_ms, limit=limit, filters=filters)
        wanted = [f for f in flows if from_ms <= f.received_at < to_ms and passes(f)]
        wanted = wanted if limit > 1 else wanted[:0]
        if not wanted:
            continue
        found: list[tuple[int, ...]] = []
        cursor = None
        while True:
            statement = reports.flows(request, cursor)
            table = store.query_arrow(statement.sql, statement.parameters)
            instants = table["received_at"].cast(pa.int64()).to_pylist()
            columns = [table[name].to_pylist() for name in ("stream", "datagram", "bytes", "in_if")]
            page = list(zip(instants, *columns, strict=True))
            found += page
            cursor = reports.next_cursor([row[:3] for row in page], limit, cursor)
            if cursor is None:
                break
        expected = [(f.received_at, f.stream, f.datagram, f.bytes, f.in_if) for f in wanted]
        assert [row[:3] for row in found] == sorted((e[:3] for e in expected), reverse=True)
        assert sorted(found) == sorted(expected), request


def check_drops(store: FlowStore, flows: Sequence[Flow]) -> None:
    today = datetime.fromtimestamp(MIDNIGHT / 1000, UTC).date()
    store.drop_raw_before(today - timedelta(days=1))
    assert ask(store, "SELECT count() FROM flows") == [(len(flows),)]
    dropped = store.drop_raw_before(today)
    kept = [flow for flow in flows if flow.received_at >= MIDNIGHT]
    assert dropped == [today - timedelta(days=1)] * (len(kept) < len(flows))
    assert ask(store, "SELECT count() FROM flows") == [(len(kept),)]
    assert store.flow_maxima() == largest((flow.stream, flow.datagram) for flow in kept)


def span(rng: random.Random) -> tuple[int, int]:
    if rng.random() < 0.2:
        return FIRST_MS, LAST_MS
    from_ms, to_ms = sorted(edge(rng) // MINUTE_MS * MINUTE_MS for _ in range(2))
    return from_ms, max(to_ms, from_ms + MINUTE_MS)


def start(flow: Flow, length_ms: int) -> int:
    return flow.received_at // length_ms * length_ms


def largest(pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    found: dict[int, int] = {}
    for stream, number in pairs:
        found[stream] = max(number, found.get(stream, 0))
    return found


def grouped(flows: Iterable[Flow], key: Callable[[Flow], object]) -> dict[object, dict[str, int]]:
    groups: dict[object, list[Flow]] = defaultdict(list)
    for flow in flows:
        groups[key(flow)].append(flow)
    return {name: sums(of) for name, of in groups.items()}


def replace_by(request: ReportRequest, by: str | None) -> ReportRequest:
    return ReportRequest(
        from_ms=request.from_ms, to_ms=request.to_ms, by=by, step_s=request.step_s,
        filters=request.filters,
    )  # fmt: skip

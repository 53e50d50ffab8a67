"""Reports while minutes close and rows come: never less than before, and exact in the end."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from services.central import reports
from services.central.reports import Cursor
from services.central.sources import OpenStream
from services.central.store import FlowStore
from tests.central.flow_values import HOUR, HOUR_MS, MINUTE_MS, flow_value, insert
from tests.central.report_answers import MINUTES, WHOLE, answer, fill, raw_totals


def test_totals_never_fall_while_minutes_close(store: FlowStore) -> None:
    minutes, per_minute, lock = 12, 2, threading.Lock()
    vector: dict[int, OpenStream] = {stream: OpenStream(stream, 0, 0) for stream in (1, 2)}
    request = replace(WHOLE, from_ms=HOUR - HOUR_MS, to_ms=HOUR + HOUR_MS)
    started, finished = threading.Event(), threading.Event()
    seen: list[int] = []

    def watch() -> None:
        while True:
            last = finished.is_set()
            with lock:
                streams = list(vector.values())
            seen.append(answer(store, reports.totals(request, streams))[0]["flows"])
            started.set()
            if last:
                return

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        assert started.wait(60)
        inserted = 0
        for minute in range(minutes):
            at_ms = HOUR + (minute - minutes // 2) * MINUTE_MS
            for stream in vector:
                for part in range(per_minute):
                    first = 1 + (minute * per_minute + part) * 20
                    insert(store, flow_value(stream=stream, first=first, at_ms=at_ms))
                    inserted += 200
                store.close_minute(stream, at_ms)
                hours_until = vector[stream].hours_until_ms
                if (at_ms + MINUTE_MS) % HOUR_MS == 0:
                    store.close_hour(stream, at_ms + MINUTE_MS - HOUR_MS)
                    hours_until = at_ms + MINUTE_MS
                with lock:
                    vector[stream] = OpenStream(stream, at_ms + MINUTE_MS, hours_until)
        finished.set()
        watching.result(timeout=120)

    assert seen == sorted(seen)
    assert len(set(seen)) > 3
    assert seen[-1] == inserted == raw_totals(store)["flows"]


def test_a_vector_that_runs_ahead_of_the_closing_loses_rows(store: FlowStore) -> None:
    insert(store, flow_value(), flow_value(first=21, at_ms=HOUR + MINUTE_MS))
    before = answer(store, reports.totals(WHOLE, [OpenStream(1, HOUR, HOUR)]))[0]["flows"]
    ahead = OpenStream(1, HOUR + MINUTE_MS, HOUR)
    assert answer(store, reports.totals(WHOLE, [ahead]))[0]["flows"] < before
    store.close_minute(1, HOUR)
    assert answer(store, reports.totals(WHOLE, [ahead]))[0]["flows"] == before


def test_closing_changes_no_answer_of_an_older_vector(store: FlowStore) -> None:
    streams = fill(store)
    before = answer(store, reports.totals(WHOLE, streams))
    for stream in (1, 3):
        for minute in MINUTES:
            store.close_minute(stream, HOUR + minute * MINUTE_MS)
        store.close_hour(stream, HOUR - HOUR_MS)
        store.close_hour(stream, HOUR)
    assert answer(store, reports.totals(WHOLE, streams)) == before
    assert answer(store, reports.totals(WHOLE, [])) == before


def test_pages_stay_in_place_while_newer_rows_come(store: FlowStore) -> None:
    insert(store, flow_value())
    request = replace(WHOLE, limit=150)
    first = answer(store, reports.flows(request))
    last = first[-1]
    at_ms = int(last["received_at"].timestamp() * 1000)
    key = (at_ms, last["stream"], last["datagram"])
    given = sum(1 for row in first if row["datagram"] == last["datagram"])

    insert(store, flow_value(first=21, at_ms=HOUR + MINUTE_MS))

    second = answer(store, reports.flows(request, Cursor(*key, given)))
    bytes_seen = sorted(row["bytes"] for row in [*first, *second])
    assert bytes_seen == sorted(flow_value().batch.column("bytes").to_pylist())


def test_thousands_of_open_streams_fit(store: FlowStore) -> None:
    insert(store, flow_value(stream=2**64 - 5))
    streams = [OpenStream(2**64 - 1 - at, HOUR, HOUR) for at in range(5_000)]
    assert answer(store, reports.totals(WHOLE, streams)) == [raw_totals(store)]

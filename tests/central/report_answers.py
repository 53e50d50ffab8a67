"""Asking a store reports, and its raw rows for what they should say."""

from typing import Any

from services.central.reports import ReportRequest, Statement
from services.central.sources import OpenStream, OpenStreams
from services.central.store import FlowStore
from services.central.store.rollups import SUMS
from tests.central.flow_values import HOUR, HOUR_MS, MINUTE_MS, ask, flow_value, insert

WHOLE = ReportRequest(from_ms=HOUR - HOUR_MS, to_ms=HOUR + 2 * HOUR_MS, limit=10_000)
MINUTES = range(-3, 4)
"""Minutes with traffic, around the hour."""

RAW_SUMS = ", ".join(f"{sql} AS s_{name}" for name, sql in SUMS.items())


def answer(store: FlowStore, statement: Statement) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = store.query_arrow(statement.sql, statement.parameters).to_pylist()
    return rows


def raw_totals(store: FlowStore, where: str = "1") -> dict[str, int]:
    row = ask(store, f"SELECT {RAW_SUMS} FROM flows WHERE {where}")[0]
    return {name: int(str(value)) for name, value in zip(SUMS, row, strict=True)}


def fill(store: FlowStore) -> OpenStreams:
    """Three streams: one open in mid-hour, one that ended, one with nothing closed.

    Return the vector: the stream that ended is not in it.
    """
    for stream in (1, 2, 3):
        for at, minute in enumerate(MINUTES):
            message = flow_value(stream=stream, first=1 + 20 * at, at_ms=HOUR + minute * MINUTE_MS)
            insert(store, message)
    for minute in MINUTES[:-2]:
        store.close_minute(1, HOUR + minute * MINUTE_MS)
    store.close_hour(1, HOUR - HOUR_MS)
    for minute in MINUTES:
        store.close_minute(2, HOUR + minute * MINUTE_MS)
    store.close_hour(2, HOUR - HOUR_MS)
    store.close_hour(2, HOUR)
    return [OpenStream(1, HOUR + 2 * MINUTE_MS, HOUR), OpenStream(3, 0, 0)]

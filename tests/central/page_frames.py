"""Pages without a browser: the elements of one tab, on a real store."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from nicegui import Client, core
from nicegui.element import Element
from nicegui.page import page
from sqlalchemy.orm import Session

from services.central.app import Central, sources_of
from services.central.metadata.models import ExporterSeenRow
from services.central.pages.desk import Desk
from services.central.pages.frame import Frame
from services.central.pages.panels import Panel
from shared.settings_events import RetentionSet
from tests.central.flow_values import HOUR_MS, MINUTE_MS
from tests.central.stream_messages import value_of

BYTES_PER_S = 12_500_000
"""100 Mbit/s."""


def steady(central: Central, *, stream: int, from_ms: int, to_ms: int, every_ms: int) -> None:
    """Fill the store with BYTES_PER_S: one flow for each `every_ms`, of whole minutes, in it."""
    starts = range(from_ms, to_ms, every_ms)
    columns = ["received_at", "collector", "stream", "datagram", "exporter", "export_version",
               "in_if", "bytes", "packets"]  # fmt: skip
    for number, at_ms in enumerate(starts, start=1):
        amount = BYTES_PER_S * every_ms // 1000
        value = value_of(stream, [number], [at_ms], bytes_each=[amount])
        central.store.insert_flows(value, columns=columns, token=f"{stream}:{number}-{number}")
        central.store.close_minute(stream, at_ms // MINUTE_MS * MINUTE_MS)
    for hour_ms in sorted({at_ms // HOUR_MS * HOUR_MS for at_ms in starts}):
        central.store.close_hour(stream, hour_ms)
    with Session(central.database) as session, session.begin():
        row = ExporterSeenRow(
            exporter="0.0.0.1", export_version=stream, first_seen_ms=from_ms, last_seen_ms=to_ms
        )
        session.add(row)


def desk_of(central: Central, now_ms: int, retention: RetentionSet) -> Desk:
    """Return what pages of `central` ask."""
    sources = replace(
        sources_of(central),
        line=asyncio.Semaphore(2),
        retention=lambda: retention,
        now_ms=lambda: now_ms,
    )
    return Desk(
        sources,
        central.health,
        name=central.config.name,
        raw_at_once=1,
        export_address=central.config.export_address,
        roles=central.roles,
        drills=central.drills,
        heard_collectors=list,
    )


@contextmanager
def tab(
    desk: Desk, query: Mapping[str, str], *, fixed: Sequence[tuple[str, str]] = ()
) -> Iterator[Frame]:
    """One open tab at an address with `query`; its panels are made inside."""
    scope = {"type": "http", "path": "/", "headers": [], "query_string": urlencode(query).encode(),
             "server": ("127.0.0.1", 8470), "scheme": "http"}  # fmt: skip
    before, core.loop = core.loop, asyncio.get_running_loop()
    client = Client(page("/of-a-test"))
    try:
        with client:
            frame = Frame(desk, Request(scope), lambda read, facts: [], fixed=fixed)
            yield frame
    finally:
        client.delete()
        core.loop = before


async def loaded(frame: Frame, *panels: Panel) -> None:
    """Start the frame and return when all panels were asked once."""
    frame.start(*panels)
    assert frame._loading is not None
    await frame._loading


def model(element: Element) -> dict[str, Any]:
    """Return what an element shows."""
    found: dict[str, Any] = element._props["model"]
    return found

"""The report API under `/api/v1`: query parameters -> question -> statement -> JSON."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from fastapi import APIRouter, Request, Response
from sqlalchemy import Engine

from services.central import examples, reports
from services.central.answers import (
    Json,
    covered,
    encode,
    losses_by_reason,
    open_streams,
    rows_of,
    stream_text,
)
from services.central.applier import Applier
from services.central.filters import ReportError
from services.central.instants import format_instant
from services.central.metadata.seen import SeenRow, exporters_seen, interfaces_seen
from services.central.metadata.settings_tables import SettingsTables
from services.central.progress import Progress
from services.central.project import Projection
from services.central.questions import LIMIT_MAX, PAGE_MAX, cursor_text, openapi, read_question
from services.central.reports import INTERFACES_MAX, Kept, ReportRequest, Statement
from services.central.sources import OpenStream
from services.central.store.errors import ReportsBusy
from services.central.store.flow_store import FlowStore
from services.central.store.retention import Held
from shared.addresses import format_address
from shared.settings_events import RetentionSet

DAY_MS = 86_400_000
_RANGE = ("from", "to")


@dataclass(frozen=True, slots=True)
class Sources:
    """What the API answers from.

    reports, line: as many threads, and places in them, as reports may run at once. retention: what
    holds now; now_ms: wall clock, UTC; wait_s: how long a report may stand in line. repairs: as of
    `Kept`.
    """

    store: FlowStore
    database: Engine
    settings: SettingsTables
    applier: Applier
    projection: Projection
    reports: ThreadPoolExecutor
    line: asyncio.Semaphore
    retention: Callable[[], RetentionSet]
    now_ms: Callable[[], int]
    wait_s: float = 30.0
    repairs: Callable[[], Sequence[tuple[int, int]]] = tuple

    @property
    def kept(self) -> Kept:
        """Since when each kind of row is kept."""
        return kept_by(
            self.retention(), self.applier.held, now_ms=self.now_ms(), repairs=self.repairs()
        )

    async def query(self, statement: Statement) -> pa.Table:
        """Answer `statement` on a report client. Raises the store's errors."""
        try:
            async with asyncio.timeout(self.wait_s):
                await self.line.acquire()
        except TimeoutError:
            raise ReportsBusy(f"no report client came free in {self.wait_s:g} s") from None
        asking = asyncio.get_running_loop().run_in_executor(
            self.reports, self.store.query_arrow, statement.sql, statement.parameters
        )
        # A thread cannot be stopped: the place in line is its own until it is done, also when
        # nobody waits for the answer any more.
        asking.add_done_callback(self._done)
        return await asyncio.shield(asking)

    def _done(self, asking: asyncio.Future[pa.Table]) -> None:
        self.line.release()
        if not asking.cancelled():
            # Looked at, so that an error nobody waits for is not reported as a forgotten one.
            asking.exception()

    def vector(self) -> tuple[tuple[Progress, ...], list[OpenStream]]:
        """Return the open streams; read before the statement runs, never after."""
        vector = self.applier.vector
        return vector, [OpenStream(p.stream, p.minutes_until_ms, p.hours_until_ms) for p in vector]


def kept_by(
    days: RetentionSet, held: Held, *, now_ms: int, repairs: Sequence[tuple[int, int]] = ()
) -> Kept:
    """Return since when each kind of row is kept, by the retention that holds now.

    Where that was shorter, by what is in the store: what was dropped does not come back.
    """
    today = now_ms // DAY_MS
    raw_from_ms = max((today - days.raw_days) * DAY_MS, held.raw_ms)
    if not held.first_ms or raw_from_ms <= held.first_ms:
        # The store is so young that none was dropped.
        raw_from_ms = 0
    return Kept(
        raw_from_ms,
        max((today - days.minute_days) * DAY_MS, held.minutes_ms),
        max((today - days.hour_days) * DAY_MS, held.first_ms),
        repairs,
    )


def report_router(sources: Sources) -> APIRouter:
    """Return the reports."""
    router = APIRouter(prefix="/api/v1", tags=["reports"])

    def question(request: Request, *allowed: str, **defaults: Any) -> ReportRequest:
        # Any: keywords of read_question, checked by the type checker at its definition only.
        query = _query(request)
        return read_question(
            query, allowed=(*_RANGE, *allowed), now_ms=sources.now_ms(), **defaults
        )

    @router.get(
        "/totals",
        summary="Flows, bytes and packets; of all there is unless a range is given",
        openapi_extra=openapi(*_RANGE, example=examples.TOTALS),
    )
    async def totals(request: Request) -> Response:
        asked = question(request, from_everything=True)
        vector, streams = sources.vector()
        statement = reports.totals(asked, streams, sources.kept)
        sums = await sources.query(statement)
        all_reasons = replace(asked, limit=LIMIT_MAX)
        lost = await sources.query(reports.losses(all_reasons, by_exporter=False))
        return await _answer(
            lambda: {
                **rows_of(sums)[0],
                "losses": losses_by_reason(rows_of(lost)),
                **covered(statement),
                "open_streams": open_streams(vector),
            }
        )

    @router.get(
        "/reports/top",
        summary="The largest groups",
        openapi_extra=openapi(*_RANGE, "by", "metric", "scaled", "limit", example=examples.TOP),
    )
    async def top(request: Request) -> Response:
        asked = question(request, "by", "metric", "scaled", "limit", by="src_addr")
        vector, streams = sources.vector()
        statement = reports.top(asked, streams, sources.kept)
        table = await sources.query(statement)
        return await _answer(lambda: _report(table, statement, vector))

    @router.get(
        "/reports/timeseries",
        summary="Sums per step, of everything or of the largest groups",
        openapi_extra=openapi(
            *_RANGE, "step", "by", "metric", "scaled", "limit", example=examples.TIMESERIES
        ),
    )
    async def timeseries(request: Request) -> Response:
        asked = question(request, "step", "by", "metric", "scaled", "limit")
        vector, streams = sources.vector()
        statement = reports.timeseries(asked, streams, sources.kept)
        table = await sources.query(statement)
        return await _answer(lambda: _report(table, statement, vector))

    @router.get(
        "/exporters",
        summary="Every exporter; of all there is unless a range is given",
        openapi_extra=openapi(*_RANGE, "limit", example=examples.EXPORTERS),
    )
    async def exporters(request: Request) -> Response:
        asked = question(request, "limit", from_everything=True, limit=LIMIT_MAX)
        vector, streams = sources.vector()
        statement = reports.exporters(asked, streams, sources.kept)
        table = await sources.query(reports.one_more(statement))

        def build() -> Json:
            answer = _first(asked.limit, _report(table, statement, vector))
            _name_exporters(answer["rows"], sources)
            return answer

        return await _answer(build)

    @router.get(
        "/interfaces",
        summary="Every interface, in and out; of all there is unless a range is given",
        openapi_extra=openapi(*_RANGE, "limit", example=examples.INTERFACES),
    )
    async def interfaces(request: Request) -> Response:
        asked = question(
            request,
            "limit",
            from_everything=True,
            limit=INTERFACES_MAX,
            limit_max=INTERFACES_MAX,
        )
        vector, streams = sources.vector()
        statement = reports.interfaces(asked, streams, sources.kept)
        table = await sources.query(reports.one_more(statement))

        def build() -> Json:
            answer = _first(asked.limit, _report(table, statement, vector))
            _name_interfaces(answer["rows"], sources)
            return answer

        return await _answer(build)

    @router.get(
        "/flows",
        summary="Flow records as sent, newest first, by pages",
        openapi_extra=openapi(*_RANGE, "limit", "cursor", example=examples.FLOWS),
    )
    async def flows(request: Request) -> Response:
        asked = question(request, "limit", "cursor", limit=100, limit_max=PAGE_MAX)
        text = cursor_text(_query(request))
        cursor = None if text is None else reports.Cursor.decode(text)
        statement = reports.flows(asked, cursor, sources.kept)
        table = await sources.query(statement)
        following = reports.next_cursor(_places(table), asked.limit, cursor)
        return await _answer(
            lambda: {
                "rows": rows_of(table),
                "next": None if following is None else following.encode(),
                **covered(statement),
            }
        )

    @router.get(
        "/losses",
        summary="What did not become a flow record, by exporter and reason",
        openapi_extra=openapi(*_RANGE, "limit", filters=False, example=examples.LOSSES),
    )
    async def losses(request: Request) -> Response:
        asked = question(request, "limit", from_everything=True, limit=LIMIT_MAX)
        for name in asked.filters:
            if name != "exporter":
                raise ReportError(name, "is not known of losses; only the exporter is")
        statement = reports.losses(asked)
        table = await sources.query(reports.one_more(statement))
        return await _answer(
            lambda: _first(asked.limit, {"rows": rows_of(table), **covered(statement)})
        )

    return router


def state_router(sources: Sources) -> APIRouter:
    """Return how far the central is."""
    router = APIRouter(prefix="/api/v1", tags=["state"])

    @router.get(
        "/positions",
        summary="How far each partition is applied",
        openapi_extra=openapi(filters=False, example=examples.POSITIONS),
    )
    async def positions(request: Request) -> Json:
        _no_parameters(request)
        ends, ids = sources.projection.end_offsets, sources.applier.topic_ids
        return {
            "rows": [
                {
                    "topic": sources.projection.topic,
                    "partition": partition,
                    "topic_id": ids.get(partition),
                    "next_offset": position,
                    "lag_records": max(0, ends.get(partition, position) - position),
                }
                for partition, position in sorted(sources.applier.positions.items())
            ]
        }

    @router.get(
        "/streams",
        summary="Every life of a receiver, and how far it is applied and closed",
        openapi_extra=openapi(filters=False, example=examples.STREAMS),
    )
    async def streams(request: Request) -> Response:
        _no_parameters(request)
        conflicts = sources.applier.conflicts
        streams = sources.applier.state.streams.values()
        return await _answer(
            lambda: {
                "rows": [
                    _stream(progress, conflicts)
                    for progress in sorted(streams, key=lambda p: p.started_at_ms)
                ]
            }
        )

    return router


def _stream(progress: Progress, conflicts: Mapping[int, int]) -> Json:
    other = conflicts.get(progress.stream)
    return {
        "stream": stream_text(progress.stream),
        "worker": progress.worker,
        "partition": progress.partition,
        "started_at": format_instant(progress.started_at_ms),
        "last": progress.known,
        "minutes_until": format_instant(progress.minutes_until_ms),
        "hours_until": format_instant(progress.hours_until_ms),
        "newest_at": format_instant(progress.newest_ms) if progress.newest_ms else None,
        "appended_at": format_instant(progress.appended_ms) if progress.appended_ms else None,
        "open": progress.listed,
        "ended": progress.ended,
        "same_name_as": None if other is None else stream_text(other),
    }


async def _answer(build: Callable[[], Json]) -> Response:
    """Answer what `build` returns; the event loop is left to others meanwhile."""
    body = await asyncio.to_thread(lambda: encode(build()))
    return Response(body, media_type="application/json")


def _report(table: pa.Table, statement: Statement, vector: Sequence[Progress]) -> Json:
    return {
        "rows": rows_of(table),
        **covered(statement),
        "open_streams": open_streams(vector),
    }


def _first(limit: int, answer: Json) -> Json:
    """Leave out the rows beyond `limit`, and say so."""
    if len(answer["rows"]) > limit:
        del answer["rows"][limit:]
        answer["notes"].append(f"there are more rows: these are the first {limit}")
    return answer


def _name_exporters(rows: Sequence[Json], sources: Sources) -> None:
    """Add what is known of each row's exporter."""
    seen: dict[str, list[SeenRow]] = {}
    for each in exporters_seen(sources.database):
        seen.setdefault(each.exporter, []).append(each)
    named = {format_address(each.exporter): each.name for each in sources.settings.exporters()}
    for row in rows:
        sightings = seen.get(row["exporter"], [])
        row["name"] = named.get(row["exporter"])
        row["export_versions"] = [each.number for each in sightings]
        row |= _seen_between(sightings)


def _name_interfaces(rows: Sequence[Json], sources: Sources) -> None:
    """Add what is known of each row's interface."""
    seen = {(each.exporter, each.number): each for each in interfaces_seen(sources.database)}
    named = {
        (format_address(each.exporter), each.if_index): each
        for each in sources.settings.interfaces()
    }
    for row in rows:
        key = (row["exporter"], row["interface"])
        row["name"] = named[key].name if key in named else None
        row["speed_bps"] = (named[key].speed_bps or None) if key in named else None
        row |= _seen_between([seen[key]] if key in seen else [])


def _query(request: Request) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        found.setdefault(name, []).append(value)
    return found


def _no_parameters(request: Request) -> None:
    for name in request.query_params:
        raise ReportError(name, "is no parameter here; there are none")


def _places(table: pa.Table) -> list[tuple[int, int, int]]:
    received = table["received_at"].cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64())
    columns = (received, table["stream"], table["datagram"])
    return list(zip(*(column.to_pylist() for column in columns), strict=True))


def _seen_between(sightings: Sequence[SeenRow]) -> Json:
    first = min((each.first_seen_ms for each in sightings), default=None)
    last = max((each.last_seen_ms for each in sightings), default=None)
    return {
        "first_seen": None if first is None else format_instant(first),
        "last_seen": None if last is None else format_instant(last),
    }

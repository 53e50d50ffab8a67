"""What all pages share: the bar on top, and loading that follows the address."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from fastapi import Request
from nicegui import Client, background_tasks, ui
from nicegui.events import GenericEventArguments

from services.central import reports
from services.central.filters import ReportError
from services.central.login.access import Kind
from services.central.login.guard import who_asks
from services.central.pages.covering import covered, is_of_records, records_note
from services.central.pages.desk import DATABASE_ERRORS, Answer, Desk, Facts, is_slow
from services.central.pages.elements import HeaderElement, StripElement
from services.central.pages.export_target import export_target
from services.central.pages.header import Crumb, header
from services.central.pages.panels import Asked, Panel
from services.central.pages.status import status
from services.central.pages.typed_filter import read_typed
from services.central.pages.view import QUERY_MAX, Read, read_view, write_view
from services.central.pages.ways import Filters, ways
from services.central.reports import Statement
from services.central.store.errors import QueryRefused, ReportsBusy, StoreError

log = logging.getLogger(__name__)

STATUS_S = 2.0
LATE_MS = 1_500
"""How long a flow may take from the collector's socket to the store: no bucket is whole before."""
SLOW_SHARE = 10
"""What took a second is asked again after ten at the earliest."""
HIDDEN_S = 1.0

Lane = list[tuple[Panel, list[Statement]]]
"""Panels that load one after the other; slow ones must not hold up quick ones."""

MakeCrumbs = Callable[[Read, Facts], Sequence[Crumb]]


class Frame:
    """One open tab: its view, its panels, and the one loading that is under way.

    A newer address supersedes the loading before it. Everything ends with the client.
    """

    def __init__(
        self,
        desk: Desk,
        request: Request,
        crumbs: MakeCrumbs,
        *,
        fixed: Sequence[tuple[str, str]] = (),
        is_timeless: bool = False,
    ) -> None:
        """Make the bar; the page then makes its panels inside `body` and calls `start`.

        fixed: filters that the page itself stands for. is_timeless: it shows no range.
        """
        self._is_timeless = is_timeless
        self._watched: Callable[[], None] = lambda: None
        self._is_one_end = any(name in ("host", "interface") for name, _ in fixed)
        self._desk = desk
        who = who_asks(request)
        self.account = who.name if who.kind is Kind.ACCOUNT else ""
        self._crumbs = crumbs
        self._fixed = tuple(fixed)
        self.export_target = export_target(desk.export_address, request.headers.get("host", ""))
        self._read = read_view(request.url.query)
        self._facts = Facts()
        self._panels: list[Panel] = []
        self._loading: asyncio.Task[None] | None = None
        self._visible = True
        self._client: Client = ui.context.client
        self._bar = HeaderElement(self._header())
        self._strip = StripElement({**self._desk.strip(), "account": self.account})
        self.body = ui.element("div").classes("sf-main").props('id="main"')

    def start(self, *panels: Panel, watched: Callable[[], None] = lambda: None) -> None:
        """Load the panels, in this order, now and whenever the address changes or time passes.

        watched: shows what needs no question, every other second.
        """
        self._panels, self._watched = list(panels), watched
        ui.on("steadflow_locate", self._locate)
        ui.on("steadflow_visible", self._show_or_hide)
        ui.on("steadflow_filter", self._add_filter)
        self._client.on_delete(self._end)
        watching = background_tasks.create(self._watch(), name="status of a page")
        self._client.on_delete(watching.cancel)
        self._restart()

    def _locate(self, event: GenericEventArguments) -> None:
        self._read = read_view(str(event.args or "")[: QUERY_MAX + 1])
        self._restart()

    def _add_filter(self, event: GenericEventArguments) -> None:
        try:
            added = read_typed(str(event.args))
        except ReportError as error:
            self._bar.show(ignored=str(error))
            return
        self._read = Read(self._read.view.filtered(added))
        # The browser moves there and tells us: the address stays the only state.
        search = write_view(self._read.view)
        ui.run_javascript(f"steadflow.navigate({json.dumps(search)})")

    def _show_or_hide(self, event: GenericEventArguments) -> None:
        self._visible = bool(event.args)

    def _restart(self) -> None:
        self._end()
        self._bar.show(**self._header())
        self._loading = background_tasks.create(self._load_and_refresh(), name="numbers of a page")

    def _end(self) -> None:
        if self._loading is not None:
            self._loading.cancel()

    async def _load_and_refresh(self) -> None:
        """Load again and again, as the view says, until cancelled."""
        # What is only asked again stays as it is until it changes: nothing flickers.
        asked = self._asked()
        for panel in self._panels:
            panel.wait(asked)
        while True:
            started_s = time.monotonic()
            await self._load()
            took_s = time.monotonic() - started_s
            refresh_s = self._read.view.refresh_s
            if not refresh_s:
                return
            await asyncio.sleep(max(refresh_s - took_s, took_s * SLOW_SHARE, 1.0))
            await self._until_looked_at()

    async def _until_looked_at(self) -> None:
        # The browser's side may vanish without a word: asking is simpler than being told.
        while not (self._visible and self._client.has_socket_connection):  # noqa: ASYNC110
            await asyncio.sleep(HIDDEN_S)

    async def _load(self) -> None:
        """Ask once and show it; what goes wrong is shown too, and ends no asking."""
        try:
            self._facts = await self._desk.facts()
            if not self._panels:
                return
            asked = await self._with_totals(self._asked())
        except Exception as error:
            sentence = trouble(error)
            for panel in self._panels:
                panel.fail(sentence)
            return
        quick, slow = self._planned(asked)
        await asyncio.gather(self._answer(asked, quick), self._answer(asked, slow))

    async def _with_totals(self, asked: Asked) -> Asked:
        """Return `asked` over what is kept: all panels ask for what the totals cover."""
        parts, kept = self._parts(asked), self._desk.kept
        planned = self._plan_totals(asked, parts)
        from_ms, to_ms = covered(planned, kept)
        notes = tuple(dict.fromkeys(note for each in planned for note in each.notes))
        asked = replace(asked, from_ms=from_ms, to_ms=to_ms, notes=notes)
        asked = await self._summed(asked, parts)
        if is_of_records(planned) or kept.raw_from_ms <= from_ms:
            return asked
        records = replace(asked, from_ms=min(kept.raw_from_ms, to_ms))
        if records.from_ms > asked.since_ms:
            # What has no roll-up is shown against sums of the same, shorter time.
            records = replace(records, notes=(records_note(kept, self._desk.now_ms),))
            if records.from_ms < to_ms:
                records = await self._summed(records, parts)
        return replace(asked, of_records=records)

    async def _summed(self, asked: Asked, parts: Mapping[str, Filters]) -> Asked:
        rows = [(await self._desk.ask(each)).rows[0] for each in self._plan_totals(asked, parts)]
        return replace(
            asked,
            totals={name: sum(row[name] for row in rows) for name in rows[0]},
            by_way=dict(zip(parts, rows, strict=True)) if len(parts) > 1 else {},
            marks=self._desk.marks(asked.from_ms, asked.to_ms),
        )

    def _plan_totals(self, asked: Asked, parts: Mapping[str, Filters]) -> list[Statement]:
        requests = [asked.request(filters=filters) for filters in parts.values()]
        return [self._desk.plan(partial(reports.totals, each)) for each in requests]

    def _parts(self, asked: Asked) -> Mapping[str, Filters]:
        """Return filters whose sums together are the totals, by the name of their way."""
        both = ways(asked.filters) if self._is_one_end else ()
        if len(both) < 2:
            return {"": asked.filters}
        # In and out each have roll-ups; both at once would read every flow of the range.
        return {way.name: way.filters for way in both}

    def _planned(self, asked: Asked) -> tuple[Lane, Lane]:
        quick: Lane = []
        slow: Lane = []
        for panel in self._panels:
            try:
                statements = [self._desk.plan(each) for each in panel.questions(asked)]
            except Exception as error:
                panel.fail(trouble(error))
                continue
            lane = slow if any(map(is_slow, statements)) else quick
            lane.append((panel, statements))
        return quick, slow

    async def _answer(self, asked: Asked, lane: Lane) -> None:
        for panel, statements in lane:
            try:
                answers: list[Answer] = [await self._desk.ask(each) for each in statements]
                panel.show(asked, answers)
            except Exception as error:
                panel.fail(trouble(error))

    def _asked(self) -> Asked:
        now_ms = self._desk.now_ms
        from_ms, to_ms = self._read.view.range.at(now_ms)
        from_ms = from_ms // 60_000 * 60_000
        to_ms = -(-to_ms // 60_000) * 60_000
        # Numbers end where the log was read to: no line falls to zero only because we are behind.
        read_ms = self._desk.heard(self._facts).newest_ms or now_ms
        heard_ms = min(now_ms - LATE_MS, read_ms)
        return Asked(
            self._read.view, self._fixed, from_ms, to_ms, heard_ms, totals={}, facts=self._facts
        )

    async def _watch(self) -> None:
        """Say how fresh the numbers are, and what the page is called, every other second."""
        while True:
            with contextlib.suppress(Exception):
                self._facts = await self._desk.facts()
            if self._visible:
                self._bar.show(**self._header())
                self._strip.show(**self._desk.strip())
                self._watched()
            await asyncio.sleep(STATUS_S)

    def _header(self) -> dict[str, object]:
        return header(
            self._read,
            central=self._desk.name,
            crumbs=self._crumbs(self._read, self._facts),
            status=status(self._desk.heard(self._facts)),
            now_ms=self._desk.now_ms,
            account=self.account,
            is_timeless=self._is_timeless,
        )


def trouble(error: Exception) -> str:
    """Return the sentence for an error of a question; logs what is our own mistake."""
    match error:
        case ReportError():
            return str(error)
        case ReportsBusy():
            return "Other reports are running; this one waits for its turn and is tried again."
        case QueryRefused():
            return "This question is too large for this central: choose a shorter range."
        case StoreError():
            return "The store does not answer right now."
        case _ if isinstance(error, DATABASE_ERRORS):
            return "The metadata database does not answer."
        case _:
            log.error("a page cannot show what it asked", exc_info=error)
            return "This central made a mistake; its log says which."

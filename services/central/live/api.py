"""`/api/v1/live`: the live rates once, and as server-sent events."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from services.central.answers import encode
from services.central.live.live_view import LiveView
from services.central.live.metrics import LiveMetrics
from services.central.live.questions import (
    ASKED,
    EXAMPLE,
    FOLLOWED,
    LiveQuestion,
    live_answer,
    live_openapi,
    read_live_question,
)
from services.central.live.windows import LiveSnapshot
from services.central.store.errors import ReportsBusy

SUBSCRIBERS_MAX: Final = 32
EVERY_S: Final = 1.0
KEEPALIVE_S: Final = 10.0
EVENTS: Final = "text/event-stream"
_ABOUT: Final = (
    "Sums per second over the last 10 s, 1 min and 5 min, as exported, like the reports; "
    "`*_scaled_*` is each flow's times its sampling rate where one is known. A row without "
    "`interface` is the whole exporter. Windows end at `as_of`, two seconds ago; when the state "
    "is not `live` they stand still, and `lag_s` says for how long."
)


class Subscribers:
    """Clients that follow the live rates; a few at once, and all end when the central stops."""

    def __init__(
        self, view: LiveView, metrics: LiveMetrics, *, subscribers_max: int = SUBSCRIBERS_MAX
    ) -> None:
        """Begin without any."""
        self._view = view
        self._metrics = metrics
        self._max = subscribers_max
        self._ended = asyncio.Event()
        self._count = 0

    def end(self) -> None:
        """Have every stream end now."""
        self._ended.set()

    def enter(self) -> None:
        """Take a place. Raises ReportsBusy when there is none."""
        if self._count >= self._max or self._ended.is_set():
            raise ReportsBusy(f"{self._count} clients follow the live rates already")
        self._count += 1
        self._metrics.subscribers.set(self._count)

    def leave(self) -> None:
        """Give the place back."""
        self._count -= 1
        self._metrics.subscribers.set(self._count)

    async def follow(
        self,
        asked: LiveQuestion,
        *,
        every_s: float = EVERY_S,
        keepalive_s: float = KEEPALIVE_S,
    ) -> AsyncIterator[str]:
        """Yield an event whenever the rates are others, and a comment when nothing was for long."""
        before: LiveSnapshot | None = None
        quiet_s = 0.0
        while not self._ended.is_set():
            found = look(self._view, asked)
            if before is None or (found.as_of_ms, found.state) != (before.as_of_ms, before.state):
                before, quiet_s = found, 0.0
                yield f"event: rates\nid: {found.as_of_ms}\ndata: {_text(found)}\n\n"
            elif quiet_s >= keepalive_s:
                quiet_s = 0.0
                yield ": nothing new\n\n"
            try:
                async with asyncio.timeout(every_s):
                    await self._ended.wait()
            except TimeoutError:
                quiet_s += every_s


class _Events(StreamingResponse):
    """A stream that gives its place back however it ends, also before its first byte."""

    def __init__(self, content: AsyncIterator[str], leave: Callable[[], None]) -> None:
        super().__init__(content, media_type=EVENTS, headers={"Cache-Control": "no-store"})
        self._leave = leave

    async def __call__(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]  # ASGI
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()


def look(view: LiveView, asked: LiveQuestion) -> LiveSnapshot:
    """Return what `asked` asks of `view`."""
    return view.snapshot(
        at_ms=asked.at_ms,
        exporter=asked.exporter,
        interface=asked.interface,
        windows_s=asked.windows_s,
        limit=asked.limit,
    )


def live_router(view: LiveView, subscribers: Subscribers, now_ms: Callable[[], int]) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/api/v1", tags=["live"])

    def question(request: Request, allowed: tuple[str, ...]) -> LiveQuestion:
        query: dict[str, list[str]] = {}
        for name, value in request.query_params.multi_items():
            query.setdefault(name, []).append(value)
        return read_live_question(query, allowed=allowed, now_ms=now_ms())

    @router.get(
        "/live",
        summary="What passes each exporter and interface now",
        description=_ABOUT,
        openapi_extra=live_openapi(*ASKED),
    )
    async def live(request: Request) -> Response:
        answer = live_answer(look(view, question(request, ASKED)))
        return Response(encode(answer), media_type="application/json")

    @router.get(
        "/live/events",
        summary="The same as server-sent events, one a second",
        description=f"{_ABOUT} Event `rates`; its id is `as_of` in ms.",
        openapi_extra=live_openapi(
            *FOLLOWED,
            media_type=EVENTS,
            example=f"event: rates\nid: 1772461858000\ndata: {encode(dict(EXAMPLE)).decode()}\n\n",
        ),
    )
    async def events(request: Request) -> Response:
        asked = question(request, FOLLOWED)
        subscribers.enter()
        return _Events(subscribers.follow(asked), subscribers.leave)

    return router


def _text(snapshot: LiveSnapshot) -> str:
    return encode(live_answer(snapshot)).decode()

"""Stands before everything a central serves: asks who it is, refuses, and records every change."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.central.login.access import (
    Kind,
    Need,
    Who,
    foreign_origin,
    is_granted,
    is_recorded,
    needed,
)
from services.central.login.audit_log import ASKED, Asked, AuditLog
from services.central.login.door import Door
from services.central.login.metrics import LoginMetrics
from services.central.problems import Forbidden, problem

WHO: Final = "steadflow.who"
PASSED_ON: Final = "steadflow.passed_on"
"""In the scope: another central answered, so the record is its."""
BODY_NOTED_BYTES: Final = 8_192
_CLOSED_WITHOUT_LOGIN: Final = 4401
_WORTH_NOTING: Final = (HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT)


def who_asks(asked: HTTPConnection) -> Who:
    """Return who `Guarded` found; nobody where it does not stand before."""
    found = asked.scope.get(WHO)
    return found if isinstance(found, Who) else Who()


async def may_change(asked: HTTPConnection) -> None:
    """Raise Forbidden against whoever may not change; beside the guard, not instead of it."""
    if who_asks(asked).may < Need.CHANGE:
        raise Forbidden(_HOW)


_HOW: Final = "log in, or send the header `Authorization: Bearer TOKEN`"


class Guarded:
    """ASGI middleware for HTTP and WebSocket alike."""

    def __init__(self, app: ASGIApp, *, door: Door, audit: AuditLog, metrics: LoginMetrics) -> None:
        """Pass on to `app` what is allowed."""
        self._app, self._door, self._audit, self._metrics = app, door, audit, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        asked = HTTPConnection(scope)
        method = scope.get("method", "GET")
        need = needed(method, scope["path"])
        who = self._door.who(asked)
        scope[WHO] = who
        if why := foreign_origin(method, asked.headers, by_cookie=who.by_cookie):
            self._metrics.refused.labels("origin").inc()
            await problem(HTTPStatus.FORBIDDEN, why)(scope, receive, send)
            return
        is_open = self._door.is_reading_open(asked)
        if not is_granted(need, who, is_reading_open=is_open):
            self._metrics.refused.labels("login" if who.kind is Kind.NOBODY else "rights").inc()
            if who.kind is not Kind.NOBODY and is_recorded(method, scope["path"]):
                await self._note(Asked(who, scope), HTTPStatus.FORBIDDEN)
            await self._refuse(asked, who, scope, receive, send)
            return
        # With the cluster's token it holds for ever.
        is_bound = who.kind in (Kind.ACCOUNT, Kind.TOKEN) and not is_granted(
            need, Who(), is_reading_open=is_open
        )

        def still() -> bool:
            return is_granted(need, self._door.who(asked), is_reading_open=is_open)

        holds = still if is_bound else _always
        if scope["type"] == "websocket":
            await self._app(scope, _while(holds, receive), send)
        elif is_recorded(method, scope["path"]):
            asked_now = Asked(who, scope, is_anybody=need is Need.NOTHING)
            await self._change(asked_now, receive, send)
        else:
            await self._app(scope, receive, _sending_while(holds, send))

    async def _refuse(
        self, asked: HTTPConnection, who: Who, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": _CLOSED_WITHOUT_LOGIN})
            return
        answer: Response
        path = scope["path"]
        is_page = not path.startswith(("/api/", "/_nicegui", "/metrics", "/openapi"))
        wants_page = "text/html" in asked.headers.get("accept", "")
        if who.kind is not Kind.NOBODY:
            answer = problem(HTTPStatus.FORBIDDEN, f"{who} may not do this")
        elif scope["method"] == "GET" and is_page and wants_page:
            query = scope.get("query_string", b"").decode("ascii", "replace")
            there = quote(path + (f"?{query}" if query else ""), safe="")
            answer = RedirectResponse(f"/login?next={there}", HTTPStatus.SEE_OTHER)
        else:
            said = (
                _HOW
                if self._door.key is not None
                else ("this central was started without a token file: nobody can be known")
            )
            challenge = {"WWW-Authenticate": "Bearer"}
            answer = problem(HTTPStatus.UNAUTHORIZED, said, **challenge)
        await answer(scope, receive, send)

    async def _change(self, asked: Asked, receive: Receive, send: Send) -> None:
        """Answer a change; nobody is told that it was made before it is in the record."""

        async def reading() -> Message:
            message = await receive()
            if len(asked.body) < BODY_NOTED_BYTES:
                asked.body += message.get("body", b"")
            return message

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._note(asked, int(message["status"]))
            await send(message)

        before = ASKED.set(asked)
        try:
            await self._app(asked.scope, reading, sending)
        except Exception:
            # It may have been made all the same.
            await self._note(asked, HTTPStatus.INTERNAL_SERVER_ERROR)
            raise
        finally:
            ASKED.reset(before)

    async def _note(self, asked: Asked, status: int) -> None:
        # Whoever shows nothing was refused, and shall not fill the record.
        if asked.is_noted or asked.is_anybody or asked.scope.get(PASSED_ON):
            return
        asked.is_noted = True
        if status < HTTPStatus.BAD_REQUEST:
            await self._audit.note(self._audit.record_of(asked, status))
        elif status in _WORTH_NOTING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            # Who asked need not wait for the record.
            self._audit.note_soon(self._audit.record_of(asked, status))


def _always() -> bool:
    return True


def _while(holds: Callable[[], bool], receive: Receive) -> Receive:
    """Return `receive` as of somebody who leaves when `holds` is over."""
    if holds is _always:
        return receive

    async def receiving() -> Message:
        message = await receive()
        # A page answers a ping every few seconds: it does not outlive its session for long.
        if message["type"] == "websocket.receive" and not holds():
            return {"type": "websocket.disconnect", "code": _CLOSED_WITHOUT_LOGIN}
        return message

    return receiving


def _sending_while(holds: Callable[[], bool], send: Send) -> Send:
    """Return `send` that ends an answer, a stream of events for one, when `holds` is over."""
    if holds is _always:
        return send
    is_over = has_length = False

    async def sending(message: Message) -> None:
        nonlocal is_over, has_length
        if is_over:
            return
        if message["type"] == "http.response.start":
            has_length = any(name.lower() == b"content-length" for name, _ in message["headers"])
        # What has a length ends by itself.
        elif has_length:
            pass
        elif message["type"] == "http.response.body" and message.get("more_body") and not holds():
            is_over = True
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await send(message)

    return sending

"""Refuses changes and records those that are made: an ASGI middleware."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.registry.problems import problem
from shared.audit import Audited
from shared.guard import objection
from shared.on_behalf import BY, FORWARDED, read_behalf

_READING = frozenset({"GET", "HEAD", "OPTIONS"})

Note = Callable[[str, str, str, int], Awaitable[object]]
"""Takes by whom, from where, which request, and the status of its answer."""


class ChangesGuarded:
    """Answers 403, before it reads a body, to a change that `objection` speaks against."""

    def __init__(self, app: ASGIApp, token: str | None, note: Note | None = None) -> None:
        """Pass requests on to `app`.

        token: None refuses every change. note: is told of each one, before its answer leaves.
        """
        self._app = app
        self._token = token
        self._note = note

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] in _READING:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if why := objection(headers, self._token, service="registry"):
            await problem(HTTPStatus.FORBIDDEN, why)(scope, receive, send)
            return
        # A central that passes on keeps the record itself.
        if self._note is None or FORWARDED in headers:
            await self._app(scope, receive, send)
            return
        await self._noting(self._note, headers, scope, receive, send)

    async def _noting(
        self, note: Note, headers: Headers, scope: Scope, receive: Receive, send: Send
    ) -> None:
        behalf = read_behalf(headers.get(BY, ""))
        client = scope.get("client") or ("", 0)
        by = "system token" if behalf is None else f"{behalf.kind} {behalf.name}"
        address = (behalf and behalf.address) or client[0]

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and _may_be_made(int(message["status"])):
                request = f"{scope['method']} {scope['path']}"
                await note(by, address, request, int(message["status"]))
            await send(message)

        await self._app(scope, receive, sending)


def _may_be_made(status: int) -> bool:
    # What nothing came of in time may come all the same.
    return status < HTTPStatus.BAD_REQUEST or status == HTTPStatus.GATEWAY_TIMEOUT


def audited_by(node: str, now_ms: int, by: str, address: str, request: str, status: int) -> Audited:
    """Return what is noted of a change at registry `node`."""
    what = request.rpartition("/")[2].capitalize() or request
    return Audited(now_ms, node, by, address, what, request=request, status=status)

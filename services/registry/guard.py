"""Refuses changes: an ASGI middleware that answers before it reads a body."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from services.registry.problems import problem
from shared.guard import objection

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class ChangesGuarded:
    """Answers 403 to a change that `objection` speaks against."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        """Pass requests on to `app`. token: None refuses every change."""
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["method"] not in _READING:
            why = objection(Headers(scope=scope), self._token, service="registry")
            if why:
                await problem(HTTPStatus.FORBIDDEN, why)(scope, receive, send)
                return
        await self._app(scope, receive, send)

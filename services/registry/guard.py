"""Who may change something: an ASGI middleware that answers before it reads a body."""

from collections.abc import Mapping
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from services.registry.problems import problem
from shared.token import same_token

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


def objection(headers: Mapping[str, str], token: str | None) -> str:
    """Return why a request may not change anything; empty when it may.

    A page of another origin must not use a browser that knows the token: its Origin is refused.
    """
    origin = headers.get("origin")
    if origin is not None and origin.lower().partition("://")[2] != headers.get("host", "").lower():
        return f"a change from a page of {origin[:100]} is refused"
    if token is None:
        return "this registry was started without a token file: nothing can be changed"
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not same_token(token, given.strip()):
        return "a change needs the header `Authorization: Bearer TOKEN`"
    return ""


class ChangesGuarded:
    """Answers 403 to a change that `objection` speaks against."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        """Pass requests on to `app`. token: None refuses every change."""
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["method"] not in _READING:
            why = objection(Headers(scope=scope), self._token)
            if why:
                await problem(HTTPStatus.FORBIDDEN, why)(scope, receive, send)
                return
        await self._app(scope, receive, send)

"""Headers of every answer that tell a browser what it must not do with it: an ASGI middleware."""

from collections.abc import Callable, Iterable
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_STATIC: Final = ("/_nicegui/", "/_steadflow/", "/favicon.ico")
# The pages' framework compiles its templates in the browser and starts by a script in the page.
_POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'{others}; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)


def page_policy(others: Iterable[str]) -> str:
    """Return the Content-Security-Policy of all that is served.

    others: URLs of the other centrals, which a page asks when its own is gone.
    """
    known = "".join(f" {each}" for each in sorted(others) if _is_plain(each))
    return _POLICY.format(others=known)


def _is_plain(url: str) -> bool:
    """Whether a URL that a node says of itself can stand in a policy without saying more."""
    return url.startswith(("http://", "https://")) and not set(url) & set(" ;,'\"\n\r\t")


class SecureHeaders:
    """Adds them; what an answer says itself stays."""

    def __init__(self, app: ASGIApp, *, others: Callable[[], Iterable[str]]) -> None:
        """others: as of `page_policy`."""
        self._app, self._others = app, others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Content-Security-Policy", page_policy(self._others()))
                if not path.startswith(_STATIC):
                    # Numbers of a network, and now and then a secret, are for no cache.
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, sending)

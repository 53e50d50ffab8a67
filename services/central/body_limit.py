"""A limit for bodies of requests: they are read before anybody asks for the token."""

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES = 64 * 1024
"""Many times the largest setting."""


class BodyLimit:
    """ASGI middleware: a longer body is answered 413 and not read on."""

    def __init__(self, app: ASGIApp, bytes_max: int = BODY_BYTES) -> None:
        """Pass requests on to `app`."""
        self._app = app
        self._bytes_max = bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        taken_bytes = 0

        async def limited() -> Message:
            nonlocal taken_bytes
            message = await receive()
            taken_bytes += len(message.get("body", b""))
            if taken_bytes > self._bytes_max:
                why = f"a body of more than {self._bytes_max} bytes"
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, why)
            return message

        await self._app(scope, limited, send)

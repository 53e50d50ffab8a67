"""`/download`: a list for people and installers, and each file by its name in that list."""

import asyncio
import hashlib
from html import escape
from http import HTTPStatus
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from services.central.download.downloads import Downloads
from services.central.problems import problem
from shared.release import RELEASE

AT_ONCE: Final = 4
"""A central has more to do than to hand out files."""
LONGEST_S: Final = 900.0
_TYPES: Final = {".txt": "text/plain; charset=utf-8", ".whl": "application/octet-stream"}


class Slots:
    """How many answers may still be sent at once."""

    def __init__(self, free: int = AT_ONCE) -> None:
        """Begin with `free` ones."""
        self.free = free


class OneOfFew(Response):
    """Sends `answer` in a slot, for so long at most; without a free one it is 503."""

    def __init__(self, slots: Slots, answer: Response, *, longest_s: float = LONGEST_S) -> None:
        """Take no slot yet."""
        super().__init__()
        self._slots = slots
        self._answer = answer
        self._longest_s = longest_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._slots.free <= 0:
            busy = problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "too many download at once: try again",
                **{"Retry-After": "10"},
            )
            await busy(scope, receive, send)
            return
        self._slots.free -= 1
        try:
            # Who reads too slowly is cut off: he would keep others out.
            async with asyncio.timeout(self._longest_s):
                await self._answer(scope, receive, send)
        finally:
            self._slots.free += 1


def download_router(downloads: Downloads, slots: Slots | None = None) -> APIRouter:
    """Return the routes, open to everybody: what they give is code, and holds no secret."""
    few = Slots() if slots is None else slots
    router = APIRouter(prefix="/download", tags=["join"])

    @router.get("", summary="This release, to be installed elsewhere", response_class=HTMLResponse)
    async def listed() -> HTMLResponse:
        files = await asyncio.to_thread(downloads.all)
        links = "".join(f"<li>{_link(name, content)}</li>\n" for name, content in files.items())
        return HTMLResponse(
            f"<!doctype html><title>steadflow {RELEASE}</title>\n<h1>steadflow {RELEASE}</h1>\n"
            "<p>For another machine of this system. Take the lines to install from whoever "
            "invited it: they name the hash of the first file, which vouches for all others. "
            "Packages of others come from your own mirror"
            f"{', or from here' if any(n.startswith('wheels/') for n in files) else ''}.</p>\n"
            f"<ul>\n{links}</ul>\n",
        )

    @router.get(
        "/{name:path}",
        summary="One file of that list",
        response_class=Response,
        responses={200: {"content": {"application/octet-stream": {"example": "the file's bytes"}}}},
    )
    async def file(name: str) -> Response:
        found = (await asyncio.to_thread(downloads.all)).get(name)
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "there is no such file in /download")
        kind = _TYPES[Path(name).suffix]
        if isinstance(found, Path):
            return OneOfFew(few, FileResponse(found, media_type=kind))
        return OneOfFew(few, Response(found, media_type=kind))

    return router


def _link(name: str, content: bytes | Path) -> str:
    # Of the files of others, which are large, the hash stands in the locks.
    sha256 = f"#sha256={hashlib.sha256(content).hexdigest()}" if isinstance(content, bytes) else ""
    return f'<a href="/download/{escape(name)}{sha256}">{escape(name)}</a>'

"""What a standby asks of its primary's API: a snapshot, its manifest, its release."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, NamedTuple

import httpx

from services.standby.pace import Progress
from shared.backoff import waits
from shared.problem_detail import detail_of

SNAPSHOTS: Final = "/api/v1/snapshots"
TRIES: Final = 12
"""Requests in a row that bring nothing, before it gives up: with growing waits a minute or more."""
REPORT_S: Final = 0.25
_FATAL = frozenset({400, 401, 403, 404, 405, 409, 410})


class DownloadError(Exception):
    """A download that ended; the text is one sentence. What has come stays for the next.

    DownloadError
     +-- Refused       the primary says no: token, no such snapshot, or it makes none
     +-- Unreachable   the primary did not answer, or broke off, many times in a row
     +-- Damaged       a file arrives with another sha256 again and again
    """


class Refused(DownloadError):
    """The primary says no. status: of HTTP; 404 wants another snapshot to be asked for.

    passes: it may say yes later, with nobody doing anything about it.
    """

    def __init__(self, text: str, status: int, *, passes: bool = False) -> None:
        """Keep `status` and `passes`."""
        super().__init__(text)
        self.status = status
        self.passes = passes


class Unreachable(DownloadError):
    """The primary did not answer, or broke off, `TRIES` times in a row."""


class Damaged(DownloadError):
    """A file arrives with another sha256 again and again."""


class BrokeOff(Exception):
    """One request failed in a way that another may not; never leaves a download."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to download. limit: most bytes a second of all files together; None for no limit.

    at_once: files at a time. now_s must not fall.
    """

    now_s: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    on_progress: Callable[[Progress], None] = lambda progress: None
    limit: int | None = None
    at_once: int = 4
    tries: int = TRIES


class Asked(NamedTuple):
    """A snapshot that is ready: its path, and when it was begun, ms, by the primary's clock."""

    url: str
    made_at_ms: int


async def ask(client: httpx.AsyncClient, *, made_for: str, options: Options) -> Asked:
    """Have the primary make a snapshot, or find the one it keeps for `made_for`.

    client: its base_url is the primary's, its headers carry the token. Returns once the snapshot
    is ready. Raises DownloadError.
    """
    asked = await _json(client, "POST", SNAPSHOTS, options, {"made_for": made_for})
    url = f"{SNAPSHOTS}/{asked['id']}"
    while asked["state"] == "making":
        options.on_progress(
            Progress(
                phase="making",
                done_bytes=int(asked["done_bytes"]),
                total_bytes=int(asked["total_bytes"]),
            )
        )
        await options.sleep(REPORT_S)
        try:
            asked = await _json(client, "GET", url, options)
        except Refused as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            # It began again meanwhile, or had no room: half a snapshot outlives neither.
            said = "the primary gave up the snapshot that it made"
            raise Refused(said, error.status, passes=True) from error
    if asked["state"] != "ready":
        # Asked again, it makes another one.
        said = f"the primary could not make a snapshot: {asked['why']}"
        raise Refused(said, HTTPStatus.CONFLICT, passes=True)
    return Asked(url, int(asked["made_at_ms"]))


async def release(client: httpx.AsyncClient, url: str, *, options: Options) -> None:
    """Tell the primary that its snapshot is needed no more; fine when it is gone already."""
    try:
        await fetch(client, url, options, method="DELETE")
    except Refused as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise


async def _json(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    options: Options,
    body: dict[str, str] | None = None,
) -> dict[str, str | int]:
    content = await fetch(client, url, options, method=method, body=body)
    answer: dict[str, str | int] = httpx.Response(200, content=content).json()
    return answer


async def fetch(
    client: httpx.AsyncClient,
    url: str,
    options: Options,
    *,
    method: str = "GET",
    body: dict[str, str] | None = None,
) -> bytes:
    """Return the body of a small answer, asked for again while nobody answers."""
    pauses = waits(first_s=0.2, longest_s=10.0)
    for left in reversed(range(options.tries)):
        try:
            answer = await client.request(method, url, json=body)
            if answer.is_success:
                return answer.content
            raise error_of(answer)
        except (httpx.HTTPError, BrokeOff) as error:
            if not left:
                text = str(error) or type(error).__name__
                raise Unreachable(f"{url}: {text}, {options.tries} times in a row") from error
        await options.sleep(next(pauses))
    raise AssertionError("the last try raises")


def error_of(answer: httpx.Response) -> Exception:
    """Return what an answer that is no success means."""
    said = detail_of(answer) or f"HTTP {answer.status_code}"
    if answer.status_code in _FATAL:
        passes = "Retry-After" in answer.headers
        return Refused(f"the primary refuses: {said}", answer.status_code, passes=passes)
    return BrokeOff(f"the primary answers {said}")

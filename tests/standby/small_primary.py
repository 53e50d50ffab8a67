"""A primary's snapshot API in memory that breaks off, damages and refuses as it is told."""

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import httpx

from services.standby.pace import Progress
from services.standby.primary import Options
from shared.snapshot import Manifest, SnapshotFile, SnapshotTable, encode_manifest

ID = "00000000000000aa"
URL = f"/api/v1/snapshots/{ID}"
MADE_AT_MS = 1_700_000_000_000


def manifest_of(files: dict[str, bytes], snapshot_id: str = ID) -> Manifest:
    return Manifest(
        id=snapshot_id,
        made_for="central-b",
        made_at_ms=1,
        release="0.1.0",
        store_revision="0004",
        metadata_revision="0001",
        positions=(),
        tables=(SnapshotTable(name="flows", rows=1, digest="0" * 16),),
        files=tuple(
            SnapshotFile(
                name=name, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest()
            )
            for name, content in files.items()
        ),
    )


class _Cut(httpx.AsyncByteStream):
    """A body that breaks off after some bytes."""

    def __init__(self, content: bytes, after: int | None) -> None:
        self._content = content
        self._after = after

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content if self._after is None else self._content[: self._after]
        if self._after is not None and self._after < len(self._content):
            raise httpx.ReadError("broken off")


@dataclass
class SmallPrimary:
    """files: by name. breaks_after: bytes of each answer, None for all; damages: the names.

    asked: the file names and ranges that were asked for. later: whether a refusal of `status` is
    one that passes. released: the paths.
    """

    files: dict[str, bytes]
    breaks_after: int | None = None
    breaks: int = 0
    damages: set[str] = field(default_factory=set)
    status: int = 200
    later: bool = False
    said: str = "no, as told"
    made_at_ms: int = MADE_AT_MS
    states: list[str] = field(default_factory=lambda: ["ready"])
    asked: list[tuple[str, str]] = field(default_factory=list)
    sent_bytes: int = 0
    on_asked: Callable[[], None] = lambda: None
    released: list[str] = field(default_factory=list)

    @property
    def manifest(self) -> Manifest:
        return manifest_of(self.files)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=httpx.MockTransport(self.answer), base_url="http://primary"
        )

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if self.status != 200:
            headers = {"Retry-After": "60"} if self.later else {}
            return httpx.Response(self.status, json={"detail": self.said}, headers=headers)
        if path == URL and request.method == "DELETE":
            self.released.append(path)
            return httpx.Response(204)
        if path in ("/api/v1/snapshots", URL):
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            if state == "gone":
                return httpx.Response(404, json={"detail": "there is no such snapshot"})
            row = {
                "id": ID, "made_at_ms": self.made_at_ms, "state": state, "done_bytes": 1,
                "total_bytes": 2, "why": "a reason",
            }  # fmt: skip
            return httpx.Response(200, json=row)
        if path == f"{URL}/manifest":
            return httpx.Response(200, content=encode_manifest(self.manifest))
        name = path.removeprefix(f"{URL}/files/")
        content, wanted = self.files[name], request.headers.get("range", "")
        self.asked.append((name, wanted))
        self.on_asked()
        if name in self.damages:
            content = bytes(len(content))
        headers, status, first = {}, 200, 0
        if wanted and request.headers["if-range"].strip('"') == self._sha256(name):
            first, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        after = None
        if self.breaks_after is not None and self.breaks:
            self.breaks -= 1
            after = self.breaks_after
        body = content[first:]
        self.sent_bytes += len(body if after is None else body[:after])
        return httpx.Response(status, headers=headers, stream=_Cut(body, after))

    def _sha256(self, name: str) -> str:
        return hashlib.sha256(self.files[name]).hexdigest()


class FakeTime:
    """Time that passes only by sleeping, and what was reported."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.slept_s: list[float] = []
        self.progress: list[Progress] = []

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds

    def options(self, *, limit: int | None = None, tries: int = 4, at_once: int = 2) -> Options:
        return Options(
            now_s=lambda: self.now_s,
            sleep=self.sleep,
            on_progress=self.progress.append,
            limit=limit,
            tries=tries,
            at_once=at_once,
        )

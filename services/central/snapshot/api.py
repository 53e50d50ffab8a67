"""`/api/v1/snapshots`: all data of this central for a standby; every request needs the token."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from services.central.problems import problem
from services.central.snapshot.kept import (
    Kept,
    NoSuchSnapshot,
    SnapshotNotNow,
    SnapshotRefused,
    Snapshots,
    State,
)
from shared.release import RELEASE
from shared.snapshot import encode_manifest

_PATH: Final = "/api/v1/snapshots"
_ID: Final = "00c0ffee00c0ffee"

ROW: Final[dict[str, Any]] = {  # Any: JSON
    "id": _ID,
    "made_for": "central-b",
    "made_at_ms": 1_772_461_860_000,
    "state": "making",
    "step": "hash",
    "done_bytes": 52_428_800,
    "total_bytes": 209_715_200,
    "why": "",
    "url": f"{_PATH}/{_ID}",
}
MANIFEST_EXAMPLE: Final[dict[str, Any]] = {  # Any: JSON
    "version": 1,
    "id": _ID,
    "made_for": "central-b",
    "made_at_ms": 1_772_461_860_000,
    "release": RELEASE,
    "store_revision": "0004",
    "metadata_revision": "0001",
    "positions": [
        {
            "topic": "flows",
            "topic_id": "4f8Q0pQ2S1mC6y7uJb1v0w",
            "partition": 0,
            "next_offset": 81_234,
        }
    ],
    "tables": [{"name": "flows", "rows": 5_000_000, "digest": "8f3a5c0d9b7e1f22"}],
    "files": [
        {
            "name": "store/flows/20260302_1_8_2/data.bin",
            "size_bytes": 104_857_600,
            "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        }
    ],
}


class Asked(BaseModel):
    """Who wants a snapshot: the name of the central that will be restored from it."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"made_for": "central-b"}}
    )
    made_for: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")


def snapshots_router(
    snapshots: Snapshots, authorized: Callable[[Request], Awaitable[None]]
) -> APIRouter:
    """Return the routes. authorized: raises against who may not have all the data."""
    router = APIRouter(prefix=_PATH, tags=["snapshots"], dependencies=[Depends(authorized)])

    @router.post(
        "",
        summary="Make a snapshot for a standby, while everything goes on",
        description="202 for a new one, 200 with the one that `made_for` has already. It is ready "
        "once its files are hashed, and kept until it is released, or for a day. 409 when none can "
        "be made, with `Retry-After` where that passes by itself.",
        status_code=HTTPStatus.ACCEPTED,
        responses={202: _json(ROW), 200: _json({**ROW, "state": "ready", "step": ""})},
    )
    async def ask(body: Asked, response: Response) -> dict[str, Any]:  # Any: JSON
        kept, is_new = snapshots.ask(body.made_for)
        response.status_code = HTTPStatus.ACCEPTED if is_new else HTTPStatus.OK
        return _row(kept)

    @router.get("", summary="Every snapshot that is kept", responses={200: _json({"rows": [ROW]})})
    async def list_snapshots() -> dict[str, Any]:  # Any: JSON
        return {"rows": [_row(kept) for kept in snapshots.all()]}

    @router.get("/{snapshot_id}", summary="How far a snapshot is", responses={200: _json(ROW)})
    async def look(snapshot_id: str) -> dict[str, Any]:  # Any: JSON
        return _row(snapshots.get(snapshot_id))

    @router.get(
        "/{snapshot_id}/manifest",
        summary="What a ready snapshot holds: files with sha256, rows and digests of its tables",
        response_class=Response,
        responses={200: _json(MANIFEST_EXAMPLE)},
    )
    async def manifest(snapshot_id: str) -> Response:
        kept = snapshots.get(snapshot_id)
        if kept.state is State.FAILED:
            return problem(HTTPStatus.CONFLICT, f"the snapshot failed: {kept.why}")
        if kept.manifest is None:
            later = {"Retry-After": "1"}
            return problem(
                HTTPStatus.SERVICE_UNAVAILABLE, "the snapshot is still being made", **later
            )
        return Response(encode_manifest(kept.manifest), media_type="application/json")

    @router.get(
        "/{snapshot_id}/files/{name:path}",
        summary="One file of a snapshot, from any byte on",
        description="Takes `Range` with `If-Range`; the ETag is the file's sha256.",
        response_class=Response,
        responses={
            200: {"content": {"application/octet-stream": {"example": "the file's bytes"}}},
            206: {"description": "The bytes that `Range` asked for"},
        },
    )
    async def file(snapshot_id: str, name: str) -> Response:
        path, described = snapshots.file(snapshot_id, name)
        return FileResponse(
            path,
            media_type="application/octet-stream",
            headers={"ETag": f'"{described.sha256}"', "Cache-Control": "no-store"},
        )

    @router.delete(
        "/{snapshot_id}",
        summary="Release a snapshot: its files go",
        status_code=HTTPStatus.NO_CONTENT,
    )
    async def release(snapshot_id: str) -> None:
        snapshots.release(snapshot_id)

    return router


def snapshot_problems(error: Exception) -> Response:
    """Answer this package's errors."""
    if isinstance(error, NoSuchSnapshot):
        return problem(HTTPStatus.NOT_FOUND, str(error))
    # By this header a standby knows a refusal that passes from one that a person has to end.
    later = {"Retry-After": "60"} if isinstance(error, SnapshotNotNow) else {}
    return problem(HTTPStatus.CONFLICT, str(error), **later)


def add_snapshot_problems(app: Any) -> None:  # Any: FastAPI's handlers are typed by Exception alone
    """Have `app` answer this package's errors as problems."""

    async def handle(_request: Request, error: Exception) -> Response:
        return snapshot_problems(error)

    app.add_exception_handler(NoSuchSnapshot, handle)
    app.add_exception_handler(SnapshotRefused, handle)


def _json(example: dict[str, Any]) -> dict[str, Any]:  # Any: JSON
    return {"content": {"application/json": {"example": example}}}


def _row(kept: Kept) -> dict[str, Any]:  # Any: JSON
    return {
        "id": kept.id,
        "made_for": kept.made_for,
        "made_at_ms": kept.made_at_ms,
        "state": kept.state.value,
        "step": "" if kept.state is State.READY else kept.step,
        "done_bytes": kept.done_bytes,
        "total_bytes": kept.total_bytes,
        "why": kept.why,
        "url": f"{_PATH}/{kept.id}",
    }

"""`/api/v1/drills` and `/api/v1/history`: reports of drills, a new one, and what was decided."""

import asyncio
import logging
import secrets
import ssl
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse

from services.central.drills.log import ENTRIES_KEPT, DrillsLog
from services.central.problems import NotNow
from services.central.roles.part import RolesPart
from shared.drill import (
    DRILL_ID,
    Drill,
    DrillError,
    Kind,
    decode_drill,
    report_json,
    summary,
)
from shared.drill_page import drill_page
from shared.drill_run import DrillCluster, kind_problem, run_drill
from shared.roles.view import cluster_view, shown_members

log = logging.getLogger(__name__)

Check = Callable[[Request], Awaitable[None]]
Json = dict[str, Any]  # Any: JSON.
DrillId = Annotated[str, Path(pattern=DRILL_ID)]

EXAMPLE: Final[Json] = {
    "rows": [
        {
            "id": "00c0ffee00c0ffee",
            "kind": "switchover",
            "run_by": "central-a",
            "started_ms": 1_772_461_800_000,
            "ended_ms": 1_772_461_804_000,
            "verdict": "passed",
            "from": "central-a",
            "to": "central-b",
            "rto_s": 0.12,
            "records_lost": 0,
            "error": "",
        }
    ]
}
_HEADERS: Final = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}


def drills_router(
    drills: DrillsLog,
    part: RolesPart,
    *,
    token: str | None,
    authorized: Check,
    to_primary: Check,
    tls: ssl.SSLContext | None,
    now_ms: Callable[[], int],
) -> APIRouter:
    """Return the routes. token: what a drill asks the centrals with. tls: as of DrillCluster."""
    router = APIRouter(tags=["roles"])
    before: list[Any] = [Depends(authorized), Depends(to_primary)]  # Any: FastAPI's Depends
    running: set[asyncio.Task[None]] = set()

    def found(drill: str) -> Drill:
        known = drills.find(drill)
        if known is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no drill {drill}")
        return known

    async def run(drill: Drill) -> None:
        centrals = {each.node: each.url for each in shown_members(part.role.state) if each.url}
        try:
            async with DrillCluster(centrals, token=token or "", tls=tls) as cluster:
                await run_drill(drill, cluster, cluster.switch_over, now_ms=now_ms)
        except DrillError as error:
            log.error("drill=%s ended without a report: %s", drill.id, error)

    @router.get(
        "/api/v1/drills",
        summary="Every failover drill, the newest first",
        description="`rto_s`: seconds for which nobody acted. `records_lost`: flows that one "
        "central has and another has not, once all is settled. The newest 50 are kept.",
        responses={200: {"content": {"application/json": {"example": EXAMPLE}}}},
    )
    async def listed() -> Json:
        return {"rows": [summary(each, now_ms()) for each in drills.known()]}

    @router.get("/api/v1/drills/{drill}", summary="The report of a drill")
    async def report(drill: DrillId) -> Json:
        return report_json(found(drill), now_ms())

    @router.get("/failover/drills/{drill}", include_in_schema=False)
    async def page(drill: DrillId) -> HTMLResponse:
        return HTMLResponse(drill_page(found(drill), now_ms()), headers=_HEADERS)

    @router.post(
        "/api/v1/drills",
        summary="Run a drill: a real planned switchover, checked with live counts",
        description="Answers once it has begun; its report tells how it ended. 409 while another "
        "one runs, and where nobody could take over.",
        status_code=HTTPStatus.ACCEPTED,
        dependencies=before,
    )
    async def begin() -> Json:
        view = cluster_view(part.role.state, part.committed.written, [])
        if problem := kind_problem(view, Kind.SWITCHOVER):
            raise NotNow(problem)
        drill = Drill(secrets.token_hex(8), Kind.SWITCHOVER, part.role.node, now_ms())
        await drills.note(drill)
        task = asyncio.create_task(run(drill), name="drill")
        running.add(task)
        task.add_done_callback(running.discard)
        return summary(drill, now_ms())

    @router.put(
        "/api/v1/drills/{drill}",
        summary="Note a drill that is run elsewhere: its begin, then its end",
        dependencies=before,
    )
    async def note(drill: DrillId, request: Request) -> Json:
        try:
            noted = decode_drill(await request.body())
            if noted.id != drill:
                raise DrillError("the drill has another id than the address")
            await drills.note(noted)
        except DrillError as error:
            raise HTTPException(HTTPStatus.BAD_REQUEST, str(error)) from error
        return summary(noted, now_ms())

    @router.get(
        "/api/v1/history",
        summary="The newest decisions about roles, oldest first",
        description=f"At most {ENTRIES_KEPT}; a registry's `/history` tells all there are.",
    )
    async def history(limit: Annotated[int, Query(ge=1, le=ENTRIES_KEPT)] = 100) -> Json:
        return {"entries": list(drills.entries)[-limit:]}

    return router

"""The agent over HTTP: how far the join is, and the checks of this machine."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter

from services.standby.joining import Joining, to_json


def join_router(joining: Callable[[], Joining], *, name: str) -> APIRouter:
    """Return the routes. Nothing can be changed here: whoever may, runs the command again."""
    router = APIRouter(prefix="/api/v1", tags=["standby"])

    @router.get("/join", summary="How far this machine is on its way to being a hot standby")
    async def join() -> dict[str, Any]:  # JSON
        now = joining()
        return {"name": name, "says": now.phase.value, **to_json(now)}

    return router

"""`/api/v1/collectors`: every worker of a collector as it saw itself last."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter

from services.central.collectors.collectors_log import CollectorsLog
from services.central.collectors.listing import EXAMPLE, row


def collectors_router(collectors: CollectorsLog, now_ms: Callable[[], int]) -> APIRouter:
    """Return the route."""
    router = APIRouter(prefix="/api/v1", tags=["state"])

    @router.get(
        "/collectors",
        summary="Every worker of a collector: rates, spool, position, which primary it knows",
        description="Each says so every 5 s on topic `collectors`; one not heard for 15 s "
        "`is_silent`, one not heard for a week is left out. Null is what it does not know.",
        responses={200: {"content": {"application/json": {"example": EXAMPLE}}}},
    )
    async def list_collectors() -> dict[str, Any]:  # Any: JSON.
        at_ms = now_ms()
        return {"rows": [row(each, at_ms) for each in collectors.known()]}

    return router

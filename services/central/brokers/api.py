"""The machines of Kafka over HTTP."""

from fastapi import APIRouter

from services.central.answers import Json
from services.central.brokers.keeper import Keeper


def brokers_router(keeper: Keeper) -> APIRouter:
    """Return the route."""
    router = APIRouter(prefix="/api/v1", tags=["roles"])

    @router.get("/brokers", summary="Kafka's machines, what is owed next, what losing one does")
    async def brokers() -> Json:
        return keeper.shown()

    return router

"""The machines of Kafka over HTTP."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from fastapi import APIRouter, Depends, Request
from starlette.exceptions import HTTPException

from services.central.answers import Json
from services.central.brokers.keeper import Keeper

Check = Callable[[Request], Awaitable[None]]


def brokers_router(keeper: Keeper, *, to_primary: Check) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/api/v1", tags=["roles"])

    @router.get("/brokers", summary="Kafka's machines, what is owed next, what losing one does")
    async def brokers() -> Json:
        return keeper.shown()

    @router.post(
        "/brokers/{machine}/remove",
        summary="Take copies and vote from a machine that goes, or is gone",
        dependencies=[Depends(to_primary)],
    )
    async def remove(machine: str) -> Json:
        if not await keeper.leave(machine):
            raise HTTPException(
                HTTPStatus.CONFLICT,
                "no other machine of that name has a broker: see `steadflow cluster`",
            )
        return {"machine": machine, "standing": "leaves"}

    @router.post(
        "/brokers/{machine}/keep",
        summary="Keep a machine after all, or let one that was removed come back",
        dependencies=[Depends(to_primary)],
    )
    async def keep(machine: str) -> Json:
        await keeper.stay(machine)
        return {"machine": machine, "standing": "stays"}

    return router

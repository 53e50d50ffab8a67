"""Opening this machine to others, asked for on the Failover page; the launcher does it."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from services.central.answers import Json
from services.central.join.opening import opening_of
from shared.network import BIND, KAFKA_PORT, NetworkError, Wish, leave_wish

Check = Callable[[Request], Awaitable[None]]
PORT_MAX = 65_535


class NewNetwork(BaseModel):
    """The name by which others reach this machine; the rest may be left out."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"host": "flows.example.com"}}
    )
    host: str = Field(pattern=r"^[A-Za-z0-9.:_-]{1,253}$")
    https_port: int | None = Field(None, ge=1, le=PORT_MAX - 1)
    kafka_port: int = Field(KAFKA_PORT, ge=1, le=PORT_MAX - 1)
    bind: str = Field(BIND, pattern=r"^[A-Za-z0-9.:_-]{1,253}$")


def network_router(
    network_file: Path | None, url: Callable[[], str], *, authorized: Check
) -> APIRouter:
    """Return the routes. network_file: as the setting. url: as of `opening_of`."""
    router = APIRouter(prefix="/api/v1", tags=["join"], dependencies=[Depends(authorized)])

    def shown() -> Json:
        here = url()
        return {"url": here or None, **opening_of(network_file, here)._asdict()}

    @router.get("/network", summary="Whether other machines reach this one")
    async def standing() -> Json:
        return await asyncio.to_thread(shown)

    @router.post(
        "/network",
        status_code=HTTPStatus.ACCEPTED,
        summary="Open this machine to others, by TLS",
        description="What `steadflow standby enable` does: Kafka is restarted once, and each "
        "central opens HTTPS. Ask GET how far it is.",
    )
    async def enable(body: NewNetwork) -> Json:
        if network_file is None:
            raise HTTPException(
                HTTPStatus.CONFLICT,
                "this central was not started by `steadflow up`: its settings https_port and "
                "kafka_tls_dir open it",
            )
        try:
            await asyncio.to_thread(leave_wish, network_file, Wish(**body.model_dump()))
        except NetworkError as error:
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error
        return await asyncio.to_thread(shown)

    return router

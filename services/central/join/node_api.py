"""What a machine that joins asks of this one: what it is, and whether it can be reached back."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Protocol

import pyarrow as pa
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from services.central.answers import Json
from services.central.reach import seen
from shared.machine import Machine
from shared.settings_events import RetentionSet

PORTS_MAX: Final = 8
HOUR_S: Final = 3600
_STORE_BYTES: Final = (
    "SELECT sum(bytes_on_disk) AS bytes FROM system.parts "
    "WHERE active AND database = currentDatabase()"
)
_BUSIEST_MINUTE: Final = (
    "SELECT max(flows) AS flows FROM (SELECT sum(flows) AS flows FROM rollups "
    "WHERE level = 0 AND grouping = 0 AND starts_at >= toDateTime({since:UInt32}, 'UTC') "
    "GROUP BY starts_at)"
)

Port = Annotated[int, Field(ge=1, le=65_535)]
# In the query: a primary of a release before takes nothing more in the body.
Host = Annotated[
    str, Query(max_length=253, description="Name or address under which others will know it.")
]
Check = Callable[[Request], Awaitable[None]]


class Answers(Protocol):
    """A store as it is asked here."""

    def query_arrow(self, sql: str, parameters: Mapping[str, Any]) -> pa.Table:
        """Return an answer as Arrow."""
        ...


class Ports(BaseModel):
    """TCP ports on the machine that asks."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"ports": [8443]}})
    ports: list[Port] = Field(max_length=PORTS_MAX)


def node_router(facts: Callable[[], Awaitable[Json]], *, authorized: Check) -> APIRouter:
    """Return the routes. facts: about this machine."""
    router = APIRouter(prefix="/api/v1", tags=["join"], dependencies=[Depends(authorized)])

    @router.get("/node", summary="This machine, how much it holds, how much arrives")
    async def node() -> Json:
        return await facts()

    @router.post("/node/reach", summary="Whether this machine reaches the one that asks")
    async def reach(body: Ports, request: Request, host: Host = "") -> Json:
        return await reach_back(request, body.ports, host)

    return router


async def facts_of(
    store: Answers,
    machine: Callable[[], Machine],
    retention: Callable[[], RetentionSet | None],
    configured: RetentionSet,
) -> Json:
    """Return what this machine is, how much it holds, for how long, and how much arrives.

    machine: blocking. retention: the setting, None while nobody set it.
    """
    here = await asyncio.to_thread(machine)
    since_s = here.now_ms // 1000 - HOUR_S
    held = await asyncio.to_thread(_number, store, _STORE_BYTES, {})
    busiest = await asyncio.to_thread(_number, store, _BUSIEST_MINUTE, {"since": since_s})
    days = (setting := retention()) or configured
    return {
        "machine": here.to_json(),
        "store_bytes": held,
        "flows_per_s": busiest / 60,
        "kept_days": [days.raw_days, days.minute_days, days.hour_days],
        "is_kept_by_setting": setting is not None,
    }


async def reach_back(request: Request, ports: Sequence[int], host: str) -> Json:
    """Return from where it is asked, which ports cannot be reached there, where `host` leads."""
    asks_from = "" if request.client is None else request.client.host
    found = await seen(asks_from, ports, host)
    return {
        "from": asks_from,
        "problems": list(found.problems),
        "host": None
        if found.addresses is None
        else {"addresses": list(found.addresses), "is_tried": found.is_tried},
    }


def _number(store: Answers, sql: str, parameters: Mapping[str, Any]) -> int:
    (value,) = store.query_arrow(sql, parameters).column(0).to_pylist()
    return int(value or 0)

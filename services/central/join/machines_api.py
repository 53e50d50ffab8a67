"""What machines report over HTTP, what one may ask before it joins, and how one is forgotten."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from services.central.answers import Json
from services.central.join.api import Check, over_tls
from services.central.join.invites import InviteRefused, JoinsAs, redeemed
from services.central.join.leaving import Leaving
from services.central.join.machines import Machines, Report, forced_facts, row_of
from services.central.join.names import Newcomer
from services.central.join.node_api import PORTS_MAX, Host, Port, reach_back
from shared.invite_token import InviteTokenError, parse_token
from shared.settings_events import Invite

BrokerPorts = Annotated[
    Sequence[Port],
    Query(max_length=PORTS_MAX, description="Tried too where a broker will run there."),
]


class Gone(BaseModel):
    """Which node is forgotten; has_stopped: its own machine says that its processes have ended."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"node": "central-c"}})
    node: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    has_stopped: bool = False


class Preview(BaseModel):
    """A token that is not used up by this, who would join with it, and its ports to be tried."""

    model_config = ConfigDict(extra="forbid")
    token: str = Field(max_length=200)
    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    ports: list[Port] = Field(default=[], max_length=PORTS_MAX)


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the routes need of a central.

    invites: all there are; blocking. leaving: how a node is forgotten.
    node: what this machine is and holds, as of `/api/v1/node`. brokers: as others reach them.
    gives_brokers: whether a machine that joins gets one of its own.
    tick_age_ms: how old the newest tick of the log is by this clock; None before one.
    why_taken: as of `Joining`. note_forced: records once what is noted of a join in spite of red
    lines; False where it could not.
    """

    invites: Callable[[], Sequence[Invite]]
    leaving: Leaving
    node: Callable[[], Awaitable[Json]]
    brokers: Callable[[], str]
    gives_brokers: Callable[[], bool]
    tick_age_ms: Callable[[], float | None]
    now_ms: Callable[[], int]
    why_taken: Callable[[Newcomer], Awaitable[str]]
    note_forced: Callable[[Request, str], Awaitable[bool]]


def machines_router(
    machines: Machines, cluster: Cluster, *, authorized: Check, to_primary: Check
) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/api/v1", tags=["join"])
    before: list[Any] = [Depends(authorized), Depends(to_primary)]  # Any: FastAPI's Depends

    @router.post(
        "/join/progress", summary="Say how far a machine is that joins", dependencies=before
    )
    async def report(body: Report, request: Request) -> Json:
        machines.hear(body)
        facts = forced_facts(body)
        if facts and not await cluster.note_forced(request, facts):
            why = "that it was forced could not be recorded: tell it again"
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, why)
        return {"name": body.name}

    @router.get(
        "/join/progress", summary="What machines said that join or stand by", dependencies=before
    )
    async def listed() -> Json:
        return {"rows": [row_of(heard) for heard in machines.known()]}

    @router.post(
        "/join/preview",
        summary="What a machine compares itself with before it joins",
        description="Over HTTPS only. Needs the token of an invite that is open, and does not use "
        "it up.",
        dependencies=[Depends(over_tls)],
    )
    async def preview(
        body: Preview, request: Request, host: Host = "", broker_port: BrokerPorts = ()
    ) -> Json:
        try:
            token = parse_token(body.token)
            redeemed(
                await asyncio.to_thread(cluster.invites),
                invite=token.invite,
                secret=token.secret,
                joins_as=JoinsAs.STANDBY,
                node=body.name,
                key="",
                now_ms=cluster.now_ms(),
            )
        except (InviteTokenError, InviteRefused) as error:
            raise HTTPException(HTTPStatus.FORBIDDEN, str(error)) from error
        ports = [*body.ports, *(broker_port if cluster.gives_brokers() else ())]
        return {
            **await cluster.node(),
            **await reach_back(request, ports, host),
            "brokers": cluster.brokers(),
            "tick_age_ms": cluster.tick_age_ms(),
            "name_taken": await cluster.why_taken(Newcomer(body.name, JoinsAs.STANDBY)),
        }

    @router.post(
        "/cluster/forget",
        summary="Forget a node that left for good",
        description="It is listed no more, and neither are its invites. Refused for one that is "
        "still heard, and for the primary.",
        dependencies=before,
    )
    async def forget(body: Gone, request: Request) -> Json:
        await cluster.leaving.take_leave(request, body.node, has_stopped=body.has_stopped)
        return {"node": body.node}

    return router

"""The HTTP routes: who is primary, who could be, and what a person may decide."""

from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, FastAPI, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from services.registry.failover import Refused, failover_claim, failover_warning
from services.registry.guard import ChangesGuarded, Note
from services.registry.problems import NotNow, TooLate, add_problems
from shared.roles.cluster import ClusterRoles
from shared.roles.fold import RolesState, Standing, standing
from shared.roles.history import Entry
from shared.roles.policy import departure_problem, switchover_problem
from shared.roles.records import NAME_CHARACTERS, Claim, Departure, Record, SwitchoverRequest
from shared.roles.view import (
    Alarm,
    cluster_view,
    holder_node,
    standby_problem,
    standbys,
)

WAIT_S = 10.0
"""How long a person waits for what was asked to hold."""

Json = dict[str, Any]  # Any: JSON


class Cluster(Protocol):
    """What the routes need of a registry."""

    @property
    def name(self) -> str:
        """Of the registry."""
        ...

    @property
    def state(self) -> RolesState:
        """The fold over `ha.log`."""
        ...

    @property
    def roles(self) -> ClusterRoles | None:
        """What `ha.roles` says."""
        ...

    @property
    def alarms(self) -> list[Alarm]:
        """What is wrong with the cluster."""
        ...

    @property
    def trouble(self) -> str:
        """Why nothing can be decided now, in a sentence; empty when it can."""
        ...

    async def append(self, record: Record) -> object:
        """Append a decision. Raises KafkaAway."""
        ...

    async def until(self, holds: Callable[[], bool], *, timeout_s: float) -> bool:
        """Wait for the log to bring about what `holds` asks; False when it did not in time."""
        ...

    async def history(self) -> tuple[list[Entry], list[str]]:
        """Return the entries of `ha.history` and what is wrong with them. Raises KafkaAway."""
        ...


class Target(BaseModel):
    """Which node shall be primary; empty for the best one."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"to": "central-b"}})
    to: str = Field("", max_length=NAME_CHARACTERS)


class Gone(BaseModel):
    """Which node is forgotten; has_stopped: its own machine says that its processes have ended."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"node": "central-c"}})
    node: str = Field(min_length=1, max_length=NAME_CHARACTERS)
    has_stopped: bool = False


def create_api(
    cluster: Cluster, *, token: str | None, clock_s: Callable[[], float], note: Note | None = None
) -> FastAPI:
    """Return the API.

    token: None refuses every change. clock_s: must not fall. note: as of `ChangesGuarded`.
    """
    app = FastAPI(
        title="steadflow registry",
        version="1",
        summary="Who is primary, who could be, and what a person may decide about it.",
    )
    app.add_middleware(ChangesGuarded, token=token, note=note)
    add_problems(app)
    app.include_router(_reading(cluster))
    app.include_router(_changing(cluster, clock_s))
    return app


def _reading(cluster: Cluster) -> APIRouter:
    router = APIRouter(tags=["roles"])

    @router.get("/primary", summary="200 with the primary while it lives, else 503")
    async def primary() -> JSONResponse:
        state = cluster.state
        member = state.members.get(state.holder)
        now = standing(state)
        if now is not Standing.ALIVE or member is None:
            why = "" if state.config is not None else cluster.trouble
            return _unavailable(why or now.value)
        return JSONResponse({"node": member.node, "url": member.url, "epoch": state.epoch})

    @router.get("/standby", summary="200 with who could take over, the best first, else 503")
    async def standby(lag: Annotated[float | None, Query(ge=0)] = None) -> JSONResponse:
        state = cluster.state
        found = standbys(state, maximum_lag_s=lag)
        if not found:
            return _unavailable(standby_problem(state, maximum_lag_s=lag))
        nodes = [{"name": each.node, "url": each.url, "lag_s": each.lag_s} for each in found]
        return JSONResponse({"nodes": nodes})

    @router.get("/api/v1/cluster", summary="Roles, nodes, policy and what is wrong")
    async def show_cluster() -> Json:
        alarms = [alarm.text for alarm in cluster.alarms]
        return cluster_view(cluster.state, cluster.roles, alarms)

    @router.get("/history", summary="Every decision, oldest first, and whether one was changed")
    async def history() -> Json:
        entries, problems = await cluster.history()
        return {"entries": entries, "problems": problems}

    return router


def _changing(cluster: Cluster, clock_s: Callable[[], float]) -> APIRouter:
    router = APIRouter(tags=["decisions"])

    @router.post("/switchover", summary="Have the living primary hand over")
    async def switchover(body: Target) -> Json:
        before = _decidable(cluster)
        if why := switchover_problem(before, body.to):
            raise Refused(why)
        began_s = clock_s()
        await cluster.append(SwitchoverRequest(body.to, cluster.name))
        changed = await _changed(before, began_s)
        if cluster.state.holder == before.holder:
            raise TooLate(f"the handover was not answered: {changed['to']} is primary again")
        return changed

    @router.post("/failover", summary="Name a primary where none lives, though it lags")
    async def failover(body: Target) -> Json:
        before = _decidable(cluster)
        claim: Claim = failover_claim(before, to=body.to, by=cluster.name)
        began_s = clock_s()
        await cluster.append(claim)
        changed = await _changed(before, began_s)
        # Another claim may have come first.
        is_taken = cluster.state.holder == claim.incarnation
        return {**changed, "warning": failover_warning(before, claim) if is_taken else ""}

    @router.post("/forget", summary="List a node no more that left for good")
    async def forget(body: Gone) -> Json:
        if why := departure_problem(_decidable(cluster), body.node, has_stopped=body.has_stopped):
            raise Refused(why)
        await cluster.append(Departure(body.node, cluster.name))
        if not await cluster.until(lambda: not _is_listed(cluster, body.node), timeout_s=WAIT_S):
            raise TooLate(f"{body.node} is still listed after {WAIT_S:g} s")
        return {"node": body.node}

    @router.post("/pause", summary="Nobody is replaced but by a person")
    async def pause() -> Json:
        return await _set_paused(True)

    @router.post("/resume", summary="A dead primary is replaced again")
    async def resume() -> Json:
        return await _set_paused(False)

    async def _changed(before: RolesState, began_s: float) -> Json:
        if not await cluster.until(lambda: cluster.state.epoch > before.epoch, timeout_s=WAIT_S):
            raise TooLate(
                f"nothing came of it within {WAIT_S:g} s: {standing(cluster.state).value}"
            )
        after = cluster.state
        return {
            "from": holder_node(before) or None,
            "to": holder_node(after),
            "epoch": after.epoch,
            "seconds": round(clock_s() - began_s, 3),
        }

    async def _set_paused(is_paused: bool) -> Json:
        config = _decidable(cluster).config
        assert config is not None
        if config.is_paused != is_paused:
            await cluster.append(replace(config, is_paused=is_paused, by=cluster.name))
        if not await cluster.until(lambda: _is_paused(cluster) is is_paused, timeout_s=WAIT_S):
            raise TooLate(f"not read back within {WAIT_S:g} s")
        return {"paused": is_paused}

    return router


def _decidable(cluster: Cluster) -> RolesState:
    if cluster.trouble:
        raise NotNow(cluster.trouble)
    if cluster.state.config is None:
        raise NotNow(standing(cluster.state).value)
    return cluster.state


def _is_listed(cluster: Cluster, node: str) -> bool:
    return node in {member.node for member in cluster.state.members.values()}


def _is_paused(cluster: Cluster) -> bool | None:
    config = cluster.state.config
    return None if config is None else config.is_paused


def _unavailable(reason: str) -> JSONResponse:
    return JSONResponse({"reason": reason}, HTTPStatus.SERVICE_UNAVAILABLE)

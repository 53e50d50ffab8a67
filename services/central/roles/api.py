"""Roles over HTTP: who is primary, the whole cluster, and what is passed on to others."""

import json
import ssl
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

import httpx
from fastapi import APIRouter, Request, Response

from services.central.login.door import behalf_of
from services.central.login.guard import PASSED_ON, who_asks
from services.central.problems import problem
from services.central.roles.part import RolesPart
from services.central.roles.role import Role
from shared.on_behalf import BY, FORWARDED
from shared.roles.view import cluster_view

PASS_ON_TIMEOUT_S: Final = 15.0
REGISTRY_TIMEOUT_S: Final = 30.0


class PassedOn(Exception):
    """Somebody else answered the request: `response` is that answer."""

    def __init__(self, response: Response) -> None:
        """response: goes to the one who asked, as it is."""
        super().__init__("passed on")
        self.response = response


def roles_router(
    part: RolesPart,
    *,
    registries: tuple[str, ...],
    token: str | None,
    authorized: Callable[[Request], Awaitable[None]],
) -> APIRouter:
    """Return the routes.

    registries: URLs, tried in turn for what only they may do. token: of the cluster.
    """
    role, committed = part.role, part.committed
    router = APIRouter(tags=["roles"])

    @router.get("/primary", summary="200 on the primary, 503 elsewhere: for load balancers")
    async def primary(response: Response) -> dict[str, Any]:  # JSON
        if not role.is_primary:
            response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
            return {"reason": f"{role.node} is not the primary", "url": role.primary_url}
        return {"node": role.node, "url": role.primary_url, "epoch": role.state.epoch}

    @router.get("/api/v1/cluster", summary="Every node, its role and its lag")
    async def cluster() -> dict[str, Any]:  # JSON
        view: dict[str, Any] = cluster_view(role.state, committed.written, [])
        return {**view, "answered_by": role.node, "acts": role.is_primary}

    def passes_on(what: str, summary: str) -> None:
        @router.post(f"/api/v1/cluster/{what}", summary=summary, operation_id=what)
        async def ask(request: Request) -> Response:
            await authorized(request)
            return await ask_registry(request, what, registries, token)

    passes_on("switchover", "Hand the role over to another central")
    passes_on("failover", "Give a vacant role to a central")
    passes_on("pause", "Replace nobody but by a person")
    passes_on("resume", "Replace a dead primary by itself again")
    return router


def to_primary(
    role: Role, tls: ssl.SSLContext | None = None, *, token: str | None = None
) -> Callable[[Request], Awaitable[None]]:
    """Return a dependency that passes a change on to the primary. Raises PassedOn.

    tls: how to reach one that answers by HTTPS, on another machine. token: of the cluster.
    """

    async def pass_on(request: Request) -> None:
        if role.is_primary or not role.primary_url or FORWARDED in request.headers:
            return
        if role.is_holder:
            return
        url = f"{role.primary_url}{request.url.path}"
        request.scope[PASSED_ON] = True
        raise PassedOn(await _send(request, url, token=token, timeout_s=PASS_ON_TIMEOUT_S, tls=tls))

    return pass_on


def add_passed_on(app: Any) -> None:  # Any: FastAPI's handlers are typed by Exception alone.
    """Have `app` answer what others answered."""

    async def handle(_request: Request, error: PassedOn) -> Response:
        return error.response

    app.add_exception_handler(PassedOn, handle)


async def ask_registry(
    request: Request,
    what: str,
    registries: tuple[str, ...],
    token: str | None,
    body: object = None,
) -> Response:
    """Pass a request on to the first registry that answers, as `what`; 503 when none does.

    body: JSON, instead of the request's own.
    """
    said = "no registry is known here: setting registry_urls"
    for registry in registries:
        url = f"{registry.rstrip('/')}/{what}"
        found = await _send(request, url, token=token, timeout_s=REGISTRY_TIMEOUT_S, body=body)
        if found.status_code != HTTPStatus.BAD_GATEWAY:
            return found
        said = "no registry answers"
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, said)


async def _send(
    request: Request,
    url: str,
    *,
    token: str | None,
    timeout_s: float,
    tls: ssl.SSLContext | None = None,
    body: object = None,
) -> Response:
    """Send the request to `url` in the name of who asks; 502 when nobody answers there.

    A session or an API token may be unknown there yet: the cluster's own token says that it was
    judged here.
    """
    headers = {BY: behalf_of(who_asks(request)), "Authorization": f"Bearer {token or ''}"}
    if "content-type" in request.headers:
        headers["Content-Type"] = request.headers["content-type"]
    content = await request.body() if body is None else json.dumps(body).encode()
    try:
        async with httpx.AsyncClient(
            timeout=timeout_s, trust_env=False, verify=True if tls is None else tls
        ) as client:
            answer = await client.request(
                request.method,
                url,
                content=content,
                headers={**headers, FORWARDED: "1"},
            )
    except (httpx.HTTPError, httpx.InvalidURL):
        return problem(HTTPStatus.BAD_GATEWAY, "the one to be asked does not answer")
    return Response(
        answer.content, answer.status_code, media_type=answer.headers.get("content-type")
    )

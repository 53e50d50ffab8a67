"""Invites over HTTP, and the one request that an invited machine makes with its token."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from services.central.answers import Json
from services.central.instants import format_instant
from services.central.join.invites import (
    VALID_S_MAX,
    InviteRefused,
    JoinsAs,
    command_of,
    redeemed,
    standing_of,
    to_forget,
)
from services.central.join.names import Newcomer
from services.central.login.audit_log import asked_by_invite
from shared.invite_token import InviteToken, InviteTokenError, hash_secret, parse_token
from shared.settings_events import Invite, SettingRemoved, SettingsEvent, invite_key

Check = Callable[[Request], Awaitable[None]]
REQUEST_BYTES_MAX = 8192


class NewInvite(BaseModel):
    """For what, and for how long, in seconds."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"joins_as": "standby", "valid_s": 3600}}
    )
    joins_as: JoinsAs = JoinsAs.STANDBY
    valid_s: int = Field(3600, ge=60, le=VALID_S_MAX)


class Join(BaseModel):
    """A token, who joins with it and as what, and its certificate signing request (PEM).

    replaces: the machine that is gone, whose place it takes; empty for none. before: the
    certificate (PEM) that it has and that ends, for a request by the same key; empty for none.
    """

    model_config = ConfigDict(extra="forbid")
    token: str = Field(max_length=200)
    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    joins_as: JoinsAs = JoinsAs.STANDBY
    request: str = Field(max_length=REQUEST_BYTES_MAX)
    replaces: str = Field("", pattern=r"^[A-Za-z0-9._-]{0,64}$")
    before: str = Field("", max_length=REQUEST_BYTES_MAX)


@dataclass(frozen=True, slots=True)
class Signed:
    """What the authority gives. key: hash of the public key that was certified, in hex."""

    certificate_pem: str
    ca_pem: str
    key: str


@dataclass(frozen=True, slots=True)
class Joining:
    """What a central knows about joining.

    url: where this central answers over HTTPS; empty while failover is not enabled.
    fingerprint: of what others can verify that by. sign: makes a certificate of a request, for a
    node of a name and role; raises ValueError with one sentence. given: what a machine of that
    name that joined as this is told. install: lines that get the release there, from that url;
    blocking. why_taken: why that name is another's, in a sentence; empty when it is free.
    replace: has the second machine take the place of the first, in the name of that request; raises
    HTTPException. stay: keeps a machine that was leaving. renews: whether that request is of a node
    that the authority certified in that role before, by that certificate. not_yet: why a machine
    cannot be told all that it needs now, in a sentence; empty when it can.
    """

    url: Callable[[], str]
    fingerprint: Callable[[], str]
    sign: Callable[[str, bytes, JoinsAs], Signed]
    given: Callable[[str, JoinsAs], Json]
    now_ms: Callable[[], int]
    install: Callable[[str, JoinsAs], Sequence[str]]
    why_taken: Callable[[Newcomer], Awaitable[str]]
    replace: Callable[[Request, str, str], Awaitable[None]]
    stay: Callable[[str], Awaitable[None]]
    renews: Callable[[bytes, bytes, JoinsAs], bool] = lambda request, before, joins_as: False
    not_yet: Callable[[JoinsAs], str] = lambda joins_as: ""


def invites_router(
    invites: Callable[[], Sequence[Invite]],
    change: Callable[[SettingsEvent], Awaitable[None]],
    joining: Joining,
    *,
    authorized: Check,
    to_primary: Check,
    made_by: str,
) -> APIRouter:
    """Return the routes.

    invites: all there are; blocking. change: writes one, and returns when it was read back.
    made_by: this central's name, noted with each invite.
    """
    router = APIRouter(prefix="/api/v1", tags=["join"])
    before: list[Any] = [Depends(authorized), Depends(to_primary)]  # Any: FastAPI's Depends
    one_at_a_time = asyncio.Lock()

    @router.post("/invites", summary="Invite a machine to join, once", dependencies=before)
    async def invite(body: NewInvite) -> Json:
        url = joining.url()
        if not url:
            raise HTTPException(
                HTTPStatus.CONFLICT,
                "other machines cannot reach this one yet: run `steadflow standby enable` here",
            )
        install = await asyncio.to_thread(joining.install, url, body.joins_as)
        now_ms = joining.now_ms()
        token = InviteToken(secrets.token_hex(8), secrets.token_hex(24), joining.fingerprint())
        made = Invite(
            token.invite,
            body.joins_as.value,
            hash_secret(token.secret),
            now_ms + body.valid_s * 1000,
            made_by,
        )
        await change(made)
        for old in to_forget(await asyncio.to_thread(invites), now_ms):
            await change(SettingRemoved(invite_key(old.invite)))
        line = f"{command_of(body.joins_as)} join {url} --token {token}"
        shown = _shown(made, now_ms)
        return {**shown, "token": str(token), "install": list(install), "line": line}

    @router.get("/invites", summary="All invites", dependencies=[Depends(authorized)])
    async def listed() -> Json:
        now_ms = joining.now_ms()
        return {"rows": [_shown(each, now_ms) for each in await asyncio.to_thread(invites)]}

    @router.delete("/invites/{invite}", summary="Take an invite back", dependencies=before)
    async def take_back(invite: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]) -> Json:
        if all(each.invite != invite for each in await asyncio.to_thread(invites)):
            raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no invite {invite}")
        await change(SettingRemoved(invite_key(invite)))
        return {"invite": invite, "standing": "taken back"}

    @router.post(
        "/join",
        summary="Join with the token of an invite",
        description="Over HTTPS only. Needs no other authorization than the token, which admits "
        "one key. The answer holds what the new node needs to be trusted by all others.",
        dependencies=[Depends(over_tls), Depends(to_primary)],
    )
    async def join(body: Join, request: Request) -> Json:
        try:
            token = parse_token(body.token)
        except InviteTokenError as error:
            raise HTTPException(HTTPStatus.FORBIDDEN, str(error)) from error
        try:
            signed = await asyncio.to_thread(
                joining.sign, body.name, body.request.encode(), body.joins_as
            )
        except ValueError as error:
            raise HTTPException(HTTPStatus.BAD_REQUEST, str(error)) from error
        if why := joining.not_yet(body.joins_as):
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, why)
        # Two machines with one token must not both read it as unused.
        async with one_at_a_time:
            known = await asyncio.to_thread(invites)
            try:
                used = redeemed(
                    known,
                    invite=token.invite,
                    secret=token.secret,
                    joins_as=body.joins_as,
                    node=body.name,
                    key=signed.key,
                    now_ms=joining.now_ms(),
                )
            except InviteRefused as error:
                raise HTTPException(HTTPStatus.FORBIDDEN, str(error)) from error
            shown = {"name": body.name, "joins_as": used.joins_as, "replaces": body.replaces}
            asked_by_invite(used.invite, shown)
            renews = bool(body.before) and joining.renews(
                body.request.encode(), body.before.encode(), body.joins_as
            )
            newcomer = Newcomer(
                body.name, body.joins_as, signed.key, is_again=used in known, renews=renews
            )
            if why := await joining.why_taken(newcomer):
                raise HTTPException(HTTPStatus.CONFLICT, why)
            if body.replaces:
                await joining.replace(request, body.replaces, body.name)
            if body.joins_as is not JoinsAs.COLLECTOR:
                # A collector has no broker: one of that name may be leaving.
                await joining.stay(body.name)
            await change(used)
        return {
            "name": body.name,
            "joins_as": used.joins_as,
            "certificate": signed.certificate_pem,
            "ca": signed.ca_pem,
            **joining.given(body.name, JoinsAs(used.joins_as)),
        }

    return router


async def over_tls(request: Request) -> None:
    """Refuse a request that carries a token in the clear."""
    if request.url.scheme != "https":
        raise HTTPException(HTTPStatus.FORBIDDEN, "a token is taken over https only")


def _shown(invite: Invite, now_ms: int) -> Json:
    return {
        "invite": invite.invite,
        "joins_as": invite.joins_as,
        "standing": standing_of(invite, now_ms),
        "expires_at": format_instant(invite.expires_at_ms),
        "made_by": invite.made_by,
        "used_by": invite.used_by or None,
    }

"""Login, logout, accounts, API tokens and the record of changes over HTTP."""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from starlette.exceptions import HTTPException

from services.central.answers import Json
from services.central.instants import format_instant
from services.central.login.access import Kind, Scope, Who
from services.central.login.api_tokens import TokenText
from services.central.login.audit_log import ENTRIES_KEPT, AuditLog
from services.central.login.door import cookie_name
from services.central.login.guard import who_asks
from services.central.login.login_page import login_page, safe_target
from services.central.login.logins import LoginRefused, Logins
from services.central.login.passwords import LENGTH_MAX, password_problem
from services.central.login.sessions import SESSION_S
from services.central.metadata.settings_tables import SettingsTables
from services.central.problems import NotNow
from shared.audit import Audited
from shared.invite_token import hash_secret
from shared.settings_events import (
    Account,
    ApiToken,
    SettingRemoved,
    SettingsEvent,
    account_key,
    token_key,
)

Check = Callable[[Request], Awaitable[None]]
Name = Annotated[str, Path(pattern="^[a-z0-9_-]{1,64}$")]
TokenId = Annotated[str, Path(pattern="^[0-9a-f]{16}$")]
FORM_BYTES: Final = 4_096
TOKENS_MAX: Final = 1_000
_EXAMPLE: Final[Json] = {
    "rows": [
        {
            "at": "2026-03-02T14:31:00.000Z",
            "by": "account admin",
            "address": "192.0.2.7",
            "what": "Set how long each level is kept",
            "request": "PUT /api/v1/settings/retention",
            "facts": "raw_days=7 minute_days=30 hour_days=730",
            "status": 200,
            "count": 1,
            "answered_by": "central-a",
        }
    ]
}


class NewPassword(BaseModel):
    """A password. current: one's own, which a session needs."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    password: SecretStr = Field(max_length=LENGTH_MAX)
    current: SecretStr = Field(SecretStr(""), max_length=LENGTH_MAX)


class NewToken(BaseModel):
    """What a token is for, and what it may."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"name": "prometheus", "scope": "read"}}
    )
    name: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")
    scope: Scope = Scope.READ


def pages_router(logins: Logins, *, head: Callable[[], str], central: str) -> APIRouter:
    """Return the page to log in and what its form sends. head: HTML with our style sheets."""
    router = APIRouter(include_in_schema=False)

    @router.get("/login")
    async def page(next: str = "/") -> Response:
        return login_page(
            head=head(), central=central, there=safe_target(next), has_accounts=logins.has_accounts
        )

    @router.post("/login")
    async def log_in(request: Request) -> Response:
        form = await _form(request)
        account, there = (
            form.get("account", "").strip().lower()[:64],
            safe_target(form.get("next", "/")),
        )
        address = "" if request.client is None else request.client.host
        try:
            cookie = await logins.log_in(account, form.get("password", ""), address)
        except LoginRefused as error:
            is_slowed = error.wait_s > 0
            answer: Response = login_page(
                head=head(), central=central, there=there, account=account, sentence=str(error),
                has_accounts=logins.has_accounts,
                status=HTTPStatus.TOO_MANY_REQUESTS if is_slowed else HTTPStatus.UNAUTHORIZED,
            )  # fmt: skip
            if is_slowed:
                answer.headers["Retry-After"] = str(round(error.wait_s))
            return answer
        answer = RedirectResponse(there, HTTPStatus.SEE_OTHER)
        answer.set_cookie(
            cookie_name(request), cookie, max_age=SESSION_S, path="/", httponly=True,
            samesite="lax", secure=request.url.scheme == "https",
        )  # fmt: skip
        return answer

    @router.post("/logout")
    async def log_out(request: Request) -> Response:
        who = who_asks(request)
        if who.session:
            await logins.log_out(who)
        answer = RedirectResponse("/", HTTPStatus.SEE_OTHER)
        answer.delete_cookie(
            cookie_name(request), path="/", httponly=True, samesite="lax",
            secure=request.url.scheme == "https",
        )  # fmt: skip
        return answer

    return router


def accounts_router(
    tables: SettingsTables,
    change: Callable[[SettingsEvent], Awaitable[None]],
    logins: Logins,
    *,
    before_change: Sequence[Check],
    now_ms: Callable[[], int],
) -> APIRouter:
    """Return accounts and tokens. change: writes one, and returns when it was read back."""
    router = APIRouter(prefix="/api/v1", tags=["login"])
    before: list[Any] = [Depends(check) for check in before_change]  # Any: FastAPI's Depends

    @router.get("/accounts", summary="Who may log in")
    async def accounts() -> Json:
        return {
            "rows": [
                {
                    "account": each.account,
                    "changed_at": format_instant(each.changed_at_ms),
                    "changed_by": each.changed_by,
                }
                for each in tables.accounts().values()
            ]
        }

    @router.put(
        "/accounts/{account}",
        summary="Set the password of an account, a new one too",
        description="Ends its sessions. A session says its own password as `current`.",
        dependencies=before,
    )
    async def set_password(request: Request, account: Name, body: NewPassword) -> Json:
        who, password = who_asks(request), body.password.get_secret_value()
        await _confirm(who, body.current.get_secret_value())
        if problem := password_problem(password, account):
            raise HTTPException(HTTPStatus.BAD_REQUEST, problem)
        made = Account(account, await logins.hashed(password), now_ms(), str(who))
        await change(made)
        return {"account": account, "changed_by": made.changed_by}

    @router.delete("/accounts/{account}", summary="Let an account log in no more",
                   dependencies=before)  # fmt: skip
    async def remove(account: Name) -> Json:
        if account not in tables.accounts():
            raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no account {account}")
        if set(tables.accounts()) == {account}:
            raise NotNow("this is the last account: set its password instead")
        await change(SettingRemoved(account_key(account)))
        return {"account": account}

    @router.get("/tokens", summary="All API tokens, without their secrets")
    async def tokens() -> Json:
        return {"rows": [_shown(each) for each in tables.tokens().values()]}

    @router.post("/tokens", summary="Make an API token; it is shown once", dependencies=before)
    async def add_token(request: Request, body: NewToken) -> Json:
        if len(tables.tokens()) >= TOKENS_MAX:
            raise NotNow(f"there are {TOKENS_MAX} tokens already")
        text = TokenText(secrets.token_hex(8), secrets.token_hex(24))
        by = str(who_asks(request))
        made = ApiToken(
            text.id, body.name, hash_secret(text.secret), body.scope.value, now_ms(), by
        )
        await change(made)
        return {**_shown(made), "value": str(text)}

    @router.delete("/tokens/{token}", summary="Revoke an API token", dependencies=before)
    async def revoke(token: TokenId) -> Json:
        if token not in tables.tokens():
            raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no token {token}")
        await change(SettingRemoved(token_key(token)))
        return {"token": token}

    async def _confirm(who: Who, current: str) -> None:
        if who.kind is not Kind.ACCOUNT:
            return
        try:
            await logins.check(who.name, current, who.address)
        except LoginRefused as error:
            said = str(error) if error.wait_s else "your own password, `current`, is another one"
            raise HTTPException(HTTPStatus.FORBIDDEN, said) from error

    return router


def audit_router(audit: AuditLog) -> APIRouter:
    """Return the record of changes."""
    router = APIRouter(prefix="/api/v1", tags=["login"])

    @router.get(
        "/audit",
        summary="Who changed what and who logged in, the newest first",
        description=f"The newest {ENTRIES_KEPT:,}; topic `audit` has all of 400 days.",
        responses={200: {"content": {"application/json": {"example": _EXAMPLE}}}},
    )
    async def newest(limit: Annotated[int, Query(ge=1, le=ENTRIES_KEPT)] = 100) -> Json:
        return {"rows": [_row(each) for each in list(audit.entries)[: -limit - 1 : -1]]}

    return router


def _row(each: Audited) -> Json:
    return {
        "at": format_instant(each.at_ms),
        "by": each.by,
        "address": each.address,
        "what": each.what,
        "request": each.request,
        "facts": each.facts,
        "status": each.status,
        "count": each.count,
        "answered_by": each.node,
    }


def _shown(token: ApiToken) -> Json:
    return {
        "token": token.token,
        "name": token.name,
        "scope": token.scope,
        "made_at": format_instant(token.made_at_ms),
        "made_by": token.made_by,
    }


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a form; the first of each name."""
    body = await request.body()
    if len(body) > FORM_BYTES:
        raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "this form is too large")
    try:
        fields = parse_qs(body.decode(), max_num_fields=10)
    except (UnicodeDecodeError, ValueError) as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "this is no form") from error
    return {name: values[0] for name, values in fields.items()}

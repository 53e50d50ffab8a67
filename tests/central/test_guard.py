"""What the guard does with one connection: who it is, and how long it may stay."""

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.requests import HTTPConnection
from starlette.types import Message, Receive, Scope, Send

from services.central.login.access import Kind, Need
from services.central.login.audit_log import AuditLog
from services.central.login.door import Door, behalf_of
from services.central.login.guard import Guarded
from services.central.login.metrics import LoginMetrics
from services.central.login.sessions import Session, session_key, stamp_of, write_session
from shared.audit import Audited
from shared.invite_token import hash_secret
from shared.kafka import Brokers
from shared.settings_events import Account, ApiToken
from shared.topics import AUDIT

TOKEN = "the token of the cluster"
ADMIN = Account("admin", "$argon2id$one", 0)
READER = ApiToken("00" * 8, "grafana", hash_secret("5e" * 24), "read", 0)
COOKIE = write_session(
    Session("admin", 1_000, "ab" * 8, stamp_of(ADMIN.password_hash)), session_key(TOKEN)
)


class Site:
    """A door whose accounts and ended sessions a test changes."""

    def __init__(self, *, opens_reading: bool = True) -> None:
        self.accounts = {"admin": ADMIN}
        self.tokens = {READER.token: READER}
        self.ended: set[str] = set()
        self.door = Door(
            token=TOKEN,
            accounts=lambda: self.accounts,
            tokens=lambda: self.tokens,
            is_ended=self.ended.__contains__,
            now_s=lambda: 1_000.0,
            opens_reading=opens_reading,
        )


class Noted(AuditLog):
    """A record in memory."""

    def __init__(self, metrics: LoginMetrics) -> None:
        super().__init__(
            Brokers("127.0.0.1:1"), topic=AUDIT, node="a", now_ms=lambda: 0, metrics=metrics
        )
        self.noted: list[Audited] = []

    async def note(self, audited: Audited) -> None:
        self.noted.append(audited)

    def note_soon(self, audited: Audited) -> None:
        self.noted.append(audited)


def scope_of(kind: str = "http", scheme: str = "https", **headers: str) -> dict[str, Any]:
    named = {"host": "127.0.0.1:8470"} | {k.replace("_", "-"): v for k, v in headers.items()}
    return {
        "type": kind,
        "method": "GET",
        "scheme": scheme,
        "path": "/api/v1/live/events" if kind == "http" else "/_nicegui_ws/socket.io/",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8470),
        "state": {},
    }


def with_session() -> dict[str, str]:
    return {"cookie": f"__Host-steadflow={COOKIE}"}


@pytest.mark.parametrize(
    ("headers", "kind", "name", "may"),
    [
        ({}, Kind.NOBODY, "", Need.NOTHING),
        (with_session(), Kind.ACCOUNT, "admin", Need.OWN),
        # By HTTPS only the cookie counts that no other host can have set.
        ({"cookie": f"steadflow={COOKIE}"}, Kind.NOBODY, "", Need.NOTHING),
        ({"authorization": f"Bearer {TOKEN}"}, Kind.SYSTEM, "token", Need.OWN),
        (
            {"authorization": f"Bearer sft.{'00' * 8}.{'5e' * 24}"},
            Kind.TOKEN,
            "grafana",
            Need.KNOWN,
        ),
        ({"authorization": f"Bearer sft.{'00' * 8}.{'5f' * 24}"}, Kind.NOBODY, "", Need.NOTHING),
        # A credential that is none is not made good by one that is.
        (with_session() | {"authorization": "Bearer x"}, Kind.NOBODY, "", Need.NOTHING),
        ({"steadflow_by": "account admin"}, Kind.NOBODY, "", Need.NOTHING),
        (with_session() | {"steadflow_by": "account root"}, Kind.ACCOUNT, "admin", Need.OWN),
        (
            {"authorization": f"Bearer {TOKEN}", "steadflow_by": "account ann 192.0.2.7"},
            Kind.ACCOUNT,
            "ann",
            Need.OWN,
        ),
    ],
)
def test_who_asks_is_known_by_one_credential(
    headers: dict[str, str], kind: Kind, name: str, may: Need
) -> None:
    who = Site().door.who(HTTPConnection(scope_of(**headers)))

    assert (who.kind, who.name, who.may) == (kind, name, may)
    assert behalf_of(who).startswith(kind.value)


@pytest.mark.parametrize(
    ("scope", "is_open"),
    [
        (scope_of(scheme="http"), True),
        (scope_of("websocket", "ws"), True),
        (scope_of(scheme="https"), False),
        (scope_of(scheme="http", host="evil.example:8470"), False),
        (scope_of(scheme="http", x_forwarded_for="127.0.0.1"), False),
        (scope_of(scheme="http", via="1.1 proxy"), False),
        (scope_of(scheme="http") | {"client": ("192.0.2.1", 1)}, False),
        (scope_of(scheme="http") | {"server": ("0.0.0.0", 1)}, False),
        (scope_of(scheme="http") | {"server": None}, False),
        (scope_of(scheme="http") | {"client": None}, False),
    ],
)
def test_reading_is_open_on_loopback_alone(scope: Scope, is_open: bool) -> None:
    assert Site().door.is_reading_open(HTTPConnection(scope)) is is_open
    assert not Site(opens_reading=False).door.is_reading_open(HTTPConnection(scope))


async def chunks_until_the_end(site: Site, *, ends: bool, **headers: str) -> list[Message]:
    """Return what is sent of a stream of four chunks; who asked for it may be gone after two."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(4):
            if ends and number == 2:
                site.accounts.clear()
                site.tokens.clear()
            body = {"type": "http.response.body", "body": b"x", "more_body": number < 3}
            await send(body)

    return await sent(site, app, scope_of(**headers))


async def sent(
    site: Site, app: object, scope: Scope, noted: list[Audited] | None = None
) -> list[Message]:
    """Return what is sent; add what is noted to `noted`."""
    said: list[Message] = []
    metrics = LoginMetrics("test", CollectorRegistry())
    audit = Noted(metrics)
    if noted is not None:
        audit.noted = noted
    coming: Iterator[Message] = iter(
        [{"type": "websocket.connect"}, *({"type": "websocket.receive", "text": "2"},) * 5]
    )

    async def receive() -> Message:
        return next(coming)

    async def send(message: Message) -> None:
        said.append(message)

    await Guarded(app, door=site.door, audit=audit, metrics=metrics)(scope, receive, send)  # type: ignore[arg-type]  # an ASGI app
    return said


@pytest.mark.parametrize(
    "headers",
    [with_session(), {"authorization": f"Bearer sft.{'00' * 8}.{'5e' * 24}"}],
    ids=["session", "token"],
)
async def test_a_stream_ends_with_the_session_or_token_it_came_by(headers: dict[str, str]) -> None:
    whole = await chunks_until_the_end(Site(), ends=False, **headers)
    cut = await chunks_until_the_end(Site(), ends=True, **headers)

    assert [each.get("body") for each in whole[1:]] == [b"x"] * 4
    assert [each.get("body") for each in cut[1:]] == [b"x", b"x", b""]
    assert cut[-1]["more_body"] is False


async def test_the_connection_of_a_page_ends_with_its_session() -> None:
    site, heard = Site(), []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for number in range(4):
            if number == 2:
                site.ended.add("ab" * 8)
            heard.append((await receive())["type"])

    await sent(site, app, scope_of("websocket", "wss", **with_session()))

    assert heard[:2] == ["websocket.connect", "websocket.receive"]
    assert heard[2:] == ["websocket.disconnect"] * 2


@pytest.mark.parametrize(
    ("headers", "noted"),
    [
        ({"authorization": f"Bearer sft.{'00' * 8}.{'5e' * 24}"}, [("token grafana", 403)]),
        ({}, []),
    ],
    ids=["known", "nobody"],
)
async def test_a_change_that_somebody_known_may_not_make_is_recorded(
    headers: dict[str, str], noted: list[tuple[str, int]]
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("it was let in")

    recorded: list[Audited] = []
    change = {"method": "PUT", "path": "/api/v1/accounts/admin"}
    await sent(Site(), app, scope_of(**headers) | change, recorded)
    await sent(Site(), app, scope_of(**headers) | {"path": "/api/v1/invites"}, recorded)

    assert [(each.by, each.status) for each in recorded] == noted


async def test_a_change_that_crashes_is_recorded() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError("a bug of ours")

    recorded: list[Audited] = []
    change = {"method": "PUT", "path": "/api/v1/settings/retention"}
    scope = scope_of(authorization=f"Bearer {TOKEN}") | change
    with pytest.raises(LookupError):
        await sent(Site(), app, scope, recorded)

    assert [(each.by, each.status) for each in recorded] == [("system token", 500)]

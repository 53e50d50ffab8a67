"""Every route of a central, found by itself, is asked without a login: none may answer."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import BaseRoute, Mount
from starlette.types import Message, Scope

from services.central.app import Central, create_app
from services.central.login import access
from services.central.login.part import LoginPart
from services.central.login.sessions import Session, session_key, write_session
from shared.topics import FLOWS, SETTINGS
from tests.central.centrals import TOKEN, URL, Place, authorized
from tests.tls_nodes import authority_in, make_node

BEYOND = "https://central.example:8443"
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
OPEN = {
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/primary"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("POST", "/logout"),
    ("POST", "/api/v1/join"),
    ("POST", "/api/v1/join/preview"),
    ("GET", "/favicon.ico"),
}
"""Written down here again on purpose: whoever opens one more has to say so twice."""
OPEN_BELOW = ("/_steadflow/", "/download")
CLOSED_TO_READERS = ("/api/v1/audit", "/api/v1/accounts", "/api/v1/tokens", "/api/v1/invites",
                     "/api/v1/node", "/api/v1/snapshots")  # fmt: skip
LEAST_ROUTES = 60


@dataclass(frozen=True)
class Site:
    central: Central
    app: FastAPI


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A central with its pages, which a process can have once; nothing listens on port 1."""
    folder = tmp_path_factory.mktemp("walk")
    place = Place(folder / "central", "127.0.0.1:1", FLOWS, SETTINGS)
    authority = authority_in(folder / "authority")
    make_node(authority, folder / "tls")
    config = place.config(
        settings_wait_s=0.2, live=True, tls_dir=folder / "tls", authority_dir=folder / "authority"
    )
    with place.opened(config=config) as central:
        yield Site(central, create_app(central, pages=True))


def routes(app: FastAPI) -> set[str]:
    """Return every path that is served, of the API, of pages, and of all that pages need."""
    found = set(app.openapi()["paths"]) | set(_paths(app.router.routes))
    assert len(found) > LEAST_ROUTES
    return {re.sub(r"\{[^}]*\}", "1", path) for path in found}


def _paths(known: Iterable[BaseRoute], prefix: str = "") -> Iterator[str]:
    for route in known:
        path = prefix + getattr(route, "path", "")
        if isinstance(route, Mount):
            yield f"{path}/anything"
            yield from _paths(route.routes or (), path)
        else:
            yield path or "/"


async def answered(
    app: FastAPI, url: str, paths: Iterable[str], methods: Iterable[str] = METHODS, **headers: str
) -> set[tuple[str, str]]:
    """Return the requests that were not refused."""
    found = set()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=url, headers=headers) as client:
        for path in sorted(paths):
            for method in methods:
                answer = await client.request(method, path)
                leads_to_login = answer.headers.get("location", "").startswith("/login?next=")
                if answer.status_code not in (401, 403) and not leads_to_login:
                    found.add((method, path))
    return found


def is_allowed(method: str, path: str) -> bool:
    is_reading = method in ("GET", "HEAD", "OPTIONS")
    known = ("GET", path) if is_reading else (method, path)
    return known in OPEN or (is_reading and path.startswith(OPEN_BELOW))


def forged() -> dict[str, str]:
    session = Session("admin", 1_700_000_000, "00" * 8, "00" * 8)
    text = write_session(session, session_key("another token"))
    return {"Cookie": f"__Host-steadflow={text}; steadflow={text}"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer sft.{'00' * 8}.{'00' * 24}"},
        forged(),
        {"Accept": "text/html"},
        {"X-Forwarded-For": "127.0.0.1", "Host": "127.0.0.1:8470"},
        {"Steadflow-By": "account admin", "Steadflow-Forwarded": "1"},
    ],
    ids=["nothing", "token", "basic", "api token", "session", "browser", "proxy", "in a name"],
)
async def test_beyond_loopback_nothing_answers_without_a_login(
    site: Site, headers: dict[str, str]
) -> None:
    methods = ("GET", "POST") if headers else METHODS
    found = await answered(site.app, BEYOND, routes(site.app), methods, **headers)

    assert {each for each in found if not is_allowed(*each)} == set()


async def test_on_loopback_reading_is_open_and_every_change_is_refused(site: Site) -> None:
    changing = [each for each in METHODS if each not in ("GET", "HEAD", "OPTIONS")]
    found = await answered(site.app, URL, routes(site.app), changing)
    refused = {each for each in found if not is_allowed(*each)}
    # The connection of a page, which changes nothing.
    assert {path for _, path in refused if not path.startswith("/_nicegui_ws/")} == set()

    closed = {path for path in routes(site.app) if path.startswith(CLOSED_TO_READERS)}
    assert len(closed) >= len(CLOSED_TO_READERS)
    assert await answered(site.app, URL, closed, ["GET"]) == set()
    # Negative control: what is open there does answer.
    assert await answered(site.app, URL, ["/api/v1/totals"], ["GET"])


@pytest.mark.parametrize("host", ["evil.example:8470", "192.0.2.1", ""])
async def test_a_name_that_was_made_to_point_here_reads_nothing(site: Site, host: str) -> None:
    assert await answered(site.app, URL, ["/api/v1/totals", "/"], ["GET"], Host=host) == set()


async def test_a_path_that_nobody_serves_is_refused_alike(site: Site) -> None:
    assert await answered(site.app, BEYOND, ["/nowhere", "/api/v1/later", "//", "/_nicegui"]) == (
        set()
    )


async def test_with_the_token_all_of_it_answers(site: Site) -> None:
    reading = {path for path in routes(site.app) if path.startswith("/api/v1/settings")}
    assert len(await answered(site.app, BEYOND, reading, ["GET"], **authorized())) == len(reading)


@pytest.mark.parametrize(("url", "is_open"), [(BEYOND, False), (URL, True)])
async def test_a_pages_connection_needs_what_the_page_does(
    site: Site, url: str, is_open: bool
) -> None:
    said = [each["type"] for each in await _connected(site.app, httpx.URL(url))]

    assert (said == ["websocket.close"]) is not is_open


async def _connected(app: FastAPI, url: httpx.URL) -> list[Message]:
    """Return what a WebSocket of a page is answered."""
    said: list[Message] = []
    asked: Iterator[Message] = iter(
        [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]
    )

    async def receive() -> Message:
        return next(asked)

    async def send(message: Message) -> None:
        said.append(message)

    scope: Scope = {
        "type": "websocket",
        "scheme": "wss" if url.scheme == "https" else "ws",
        "path": "/_nicegui_ws/socket.io/",
        "raw_path": b"/_nicegui_ws/socket.io/",
        "root_path": "",
        "query_string": b"EIO=4&transport=websocket",
        "headers": [(b"host", url.netloc), (b"upgrade", b"websocket")],
        "client": ("127.0.0.1", 1),
        "server": (url.host, url.port),
        "subprotocols": [],
        "state": {},
        "extensions": {},
    }
    await app(scope, receive, send)
    return said


async def test_without_the_guard_the_walk_finds_what_answers(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LoginPart, "guard", lambda part, app: None)
    app = create_app(site.central)

    found = await answered(app, BEYOND, ["/api/v1/totals", "/api/v1/cluster", "/metrics"], ["GET"])

    assert len(found) == 3


async def test_a_route_that_is_opened_by_mistake_is_found(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_OPEN_TO_READ", (*access._OPEN_TO_READ, "/api/v1/collectors"))

    found = await answered(site.app, BEYOND, routes(site.app), ["GET"])

    assert {each for each in found if not is_allowed(*each)} == {("GET", "/api/v1/collectors")}


async def test_every_answer_says_what_a_browser_must_not_do(site: Site) -> None:
    transport = httpx.ASGITransport(site.app)
    async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
        for path in ("/login", "/api/v1/totals", "/nowhere", "/metrics", "/docs"):
            headers = (await client.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff", path
            assert headers["x-frame-options"] == "DENY", path
            assert "frame-ancestors 'none'" in headers["content-security-policy"], path
            assert headers["cache-control"] == "no-store", path
            # A browser that remembers it could no longer get past a certificate of our own.
            assert "strict-transport-security" not in headers, path
        assert (await client.get("/nowhere")).headers["content-type"] == "application/problem+json"

"""The pages beside the API: whose addresses are whose, and who may connect."""

from collections.abc import Iterator

import httpx
import pytest
import socketio
from nicegui import core
from starlette.routing import Match

from services.central.pages.mount import PagesOnly, accept_origins


@pytest.mark.parametrize(
    ("path", "is_page"),
    [
        ("/", True),
        ("/exporters/192.0.2.1", True),
        ("/exporters/192.0.2.1/interfaces/7", True),
        ("/hosts/2001:db8::1", True),
        ("/failover", True),
        ("/failover/drills/00c0ffee00c0ffee", False),
        ("/_nicegui_ws/socket.io/", True),
        ("/api/v1/nothing", False),
        ("/health/ready", False),
        ("/metrics", False),
        ("/docs", False),
        ("/etc/passwd", False),
    ],
)
def test_an_address_that_is_no_page_stays_the_apis(path: str, is_page: bool) -> None:
    scope = {"type": "http", "path": path, "method": "GET", "root_path": ""}

    match, _ = PagesOnly("/", app=core.app).matches(scope)

    assert (match is Match.FULL) == is_page


@pytest.fixture
def own_origin_alone() -> Iterator[None]:
    yield
    accept_origins()


async def _connect(origin: str) -> int:
    # Not through core.app: its first request closes it to the pages of a central made later.
    sockets = socketio.ASGIApp(core.sio, socketio_path="/_nicegui_ws/socket.io")
    transport = httpx.ASGITransport(sockets)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8470") as client:
        answer = await client.get(
            "/_nicegui_ws/socket.io/?EIO=4&transport=polling", headers={"Origin": origin}
        )
    return answer.status_code


@pytest.mark.usefixtures("own_origin_alone")
async def test_a_page_of_another_origin_cannot_connect() -> None:
    accept_origins()

    for other in ("http://evil.example", "https://evil.example", "http://127.0.0.1:8471", "null"):
        assert await _connect(other) == 400
    assert await _connect("http://127.0.0.1:8470") == 200


@pytest.mark.usefixtures("own_origin_alone")
async def test_a_page_that_came_by_tls_connects() -> None:
    accept_origins()

    assert await _connect("https://127.0.0.1:8470") == 200


@pytest.mark.usefixtures("own_origin_alone")
async def test_without_the_check_it_could() -> None:
    accept_origins(of_others=True)

    assert await _connect("http://evil.example") == 200

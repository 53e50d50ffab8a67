"""Opening this machine to others by a request: a wish for the launcher, and how far it is."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from services.central.join.network_api import network_router
from services.central.join.opening import Opening, opening_of
from shared.network import (
    Network,
    Standing,
    Wish,
    has_wish,
    leave_wish,
    take_wish,
    write_network,
    write_standing,
)

URL = "https://flows.example"


async def anybody(request: Request) -> None:
    """Who may ask is the guard's, tested by a walk over all routes."""


async def post(file: Path | None, body: dict[str, Any]) -> httpx.Response:
    app = FastAPI()
    app.include_router(network_router(file, lambda: "", authorized=anybody))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://central") as client:
        return await client.post("/api/v1/network", json=body)


async def test_what_is_asked_for_is_left_for_the_launcher(tmp_path: Path) -> None:
    file = tmp_path / "network.json"

    answer = await post(file, {"host": "flows.example", "https_port": 9443})

    assert answer.status_code == 202
    assert answer.json() == {"url": None, "by_page": True, "is_under_way": True, "problem": ""}
    assert take_wish(file) == Wish("flows.example", https_port=9443)
    assert take_wish(file) is None


@pytest.mark.parametrize(
    "body", [{}, {"host": "a b"}, {"host": "a", "kafka_port": 65_535}, {"host": "a", "more": 1}]
)
async def test_what_is_no_address_leaves_nothing(tmp_path: Path, body: dict[str, Any]) -> None:
    file = tmp_path / "network.json"
    assert (await post(file, body)).status_code == 422
    assert not has_wish(file)


async def test_a_central_that_was_started_by_hand_says_what_opens_it() -> None:
    answer = await post(None, {"host": "flows.example"})

    assert answer.status_code == 409
    assert "settings https_port and kafka_tls_dir" in answer.json()["detail"]


def test_how_far_it_is_follows_what_the_launcher_says(tmp_path: Path) -> None:
    file = tmp_path / "network.json"
    assert opening_of(file, "") == Opening(by_page=True)

    leave_wish(file, Wish("flows.example"))
    assert opening_of(file, "") == Opening(by_page=True, is_under_way=True)

    take_wish(file)
    write_network(file, Network("flows.example", 19094))
    write_standing(file, Standing(is_open=False))
    assert opening_of(file, URL) == Opening(by_page=True, is_under_way=True)

    write_standing(file, Standing(is_open=False, problem="port 19094 is taken"))
    assert opening_of(file, URL) == Opening(by_page=True, problem="port 19094 is taken")
    # The launcher takes back what it could not open: why stays, and it can be asked for again.
    file.unlink()
    write_standing(file, Standing(problem="no such name"))
    assert opening_of(file, "") == Opening(by_page=True, problem="no such name")
    leave_wish(file, Wish("flows.example"))
    assert opening_of(file, "") == Opening(by_page=True, is_under_way=True)
    take_wish(file)

    write_standing(file, Standing())
    assert opening_of(file, URL) == Opening(by_page=True)

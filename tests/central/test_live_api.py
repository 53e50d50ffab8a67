"""`/api/v1/live` and its events over HTTP, on ranges that were set; no broker is there."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services.central.live.api import Subscribers, live_router
from services.central.live.live_view import LiveView
from services.central.live.metrics import LiveMetrics
from services.central.live.questions import LiveQuestion
from services.central.problems import add_problems
from services.central.store.errors import ReportsBusy
from shared.health import Health
from shared.kafka import Brokers
from shared.topics import RATES
from tests.central.live_ranges import T_MS, Sum, a_range

NOW_MS = T_MS + 3_000


@dataclass
class Clocks:
    ms: int = NOW_MS

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1000


@dataclass
class Live:
    """A view of two exporters that was in the log's end just now."""

    clocks: Clocks = field(default_factory=Clocks)
    metrics: LiveMetrics = field(
        default_factory=lambda: LiveMetrics(CollectorRegistry(), "steadflow_central")
    )

    def __post_init__(self) -> None:
        self.view = LiveView(
            app_id="central-a-live",
            brokers=Brokers("127.0.0.1:1"),
            topic=RATES,
            metrics=self.metrics,
            health=Health(),
            now_ms=self.clocks.now_ms,
            monotonic_s=self.clocks.monotonic_s,
        )
        rows = [Sum(10, interface=1), Sum(20, interface=2, exporter="192.0.2.2")]
        self.view.windows.set(a_range(1, 9, T_MS, *rows))
        self.subscribers = Subscribers(self.view, self.metrics, subscribers_max=2)
        self.read_to_the_end()

    def read_to_the_end(self) -> None:
        progress = self.view._progress
        progress.whole_at_s = progress.answered_at_s = self.clocks.monotonic_s()
        progress.whole_at_ms = self.clocks.ms


@pytest.fixture
def live() -> Live:
    return Live()


@pytest.fixture
async def client(live: Live) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    add_problems(app)
    app.include_router(live_router(live.view, live.subscribers, live.clocks.now_ms))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://central/api/v1") as opened:
        yield opened


async def test_live_says_rates_and_how_fresh_they_are(client: httpx.AsyncClient) -> None:
    answer = (await client.get("/live")).json()
    assert (answer["state"], answer["lag_s"], answer["left_out"]) == ("live", 0, 0)
    assert answer["as_of"] == "2026-09-21T14:13:21.000Z"
    assert answer["newest_at"] == "2026-09-21T14:13:20.000Z"
    assert len(answer["rows"]) == 3 * (2 + 2)
    assert answer["rows"][0] == {
        "exporter": "192.0.2.2",
        "interface": None,
        "direction": "in",
        "window_s": 10,
        "bytes_per_s": 200.0,
        "packets_per_s": 4.0,
        "flows_per_s": 2.0,
        "bytes_scaled_per_s": 200.0,
        "packets_scaled_per_s": 4.0,
    }


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ({"exporter": "192.0.2.1"}, {("192.0.2.1", None), ("192.0.2.1", 1)}),
        ({"exporter": "192.0.2.1", "interface": "2"}, set()),
        ({"interface": "2"}, {("192.0.2.2", 2)}),
        ({"limit": "1"}, {("192.0.2.2", None), ("192.0.2.2", 2)}),
        ({"at": "-30s"}, set()),
    ],
)
async def test_filters(
    client: httpx.AsyncClient, query: dict[str, str], shown: set[tuple[str, int | None]]
) -> None:
    answer = (await client.get("/live", params={"window": "60", **query})).json()
    assert {(row["exporter"], row["interface"]) for row in answer["rows"]} == shown
    assert {row["window_s"] for row in answer["rows"]} <= {60}


@pytest.mark.parametrize(
    ("path", "query", "parameter"),
    [
        ("/live", {"exporter": "core-1"}, "exporter"),
        ("/live", {"interface": "-1"}, "interface"),
        ("/live", {"interface": str(2**32)}, "interface"),
        ("/live", {"window": "20"}, "window"),
        ("/live", {"window": ["10", "60"]}, "window"),
        ("/live", {"limit": "0"}, "limit"),
        ("/live", {"at": "yesterday"}, "at"),
        ("/live", {"at": "-61s"}, "at"),
        ("/live", {"colour": "red"}, "colour"),
        ("/live/events", {"at": "-1s"}, "at"),
    ],
)
async def test_a_wrong_parameter_is_named(
    client: httpx.AsyncClient, path: str, query: dict[str, Any], parameter: str
) -> None:
    answer = await client.get(path, params=query)
    assert (answer.status_code, answer.json()["parameter"]) == (400, parameter)


def test_the_same_snapshot_serves_all_for_a_second(live: Live) -> None:
    first = live.view.snapshot()
    live.clocks.ms += 900
    assert live.view.snapshot() is first
    live.clocks.ms += 100
    assert live.view.snapshot().as_of_ms == first.as_of_ms + 1000


def test_rates_stand_still_while_kafka_is_away(live: Live) -> None:
    live.clocks.ms += 5_000
    assert (live.view.snapshot().state, live.view.snapshot().as_of_ms) == ("live", NOW_MS)
    live.clocks.ms += 60_000
    away = live.view.snapshot()
    assert (away.state, away.lag_s, away.as_of_ms) == ("away", 65, NOW_MS)
    assert away.rates[0].flows_per_s == 2
    live.view._progress.answered_at_s = live.clocks.monotonic_s()
    assert live.view.snapshot().state == "catching up"
    live.read_to_the_end()
    assert {rate.window_s for rate in live.view.snapshot().rates} == {300}


def test_a_second_look_while_kafka_is_away_says_for_how_long(live: Live) -> None:
    live.clocks.ms += 10_000
    first = live.view.snapshot()
    live.clocks.ms += 60_000
    second = live.view.snapshot()
    assert (first.state, first.lag_s, second.state, second.lag_s) == ("away", 10, "away", 70)
    assert second.rates is first.rates


def test_while_it_catches_up_a_second_look_says_how_new_the_newest_is(live: Live) -> None:
    live.clocks.ms += 60_000
    live.view._progress.answered_at_s = live.clocks.monotonic_s()
    first = live.view.snapshot()
    live.view.windows.set(a_range(10, 11, T_MS + 50_000, Sum(10, interface=1)))
    second = live.view.snapshot()
    assert (first.state, second.state) == ("catching up", "catching up")
    assert (first.newest_ms, second.newest_ms) == (T_MS, T_MS + 50_000)


async def test_events_come_when_something_is_new_and_else_keep_the_line_open(live: Live) -> None:
    stream = live.subscribers.follow(LiveQuestion(), every_s=0.001, keepalive_s=0.003)
    event, number, data, *_ = (await anext(stream)).split("\n")
    assert (event, number) == ("event: rates", f"id: {T_MS + 1000}")
    assert json.loads(data.removeprefix("data: "))["state"] == "live"
    assert await anext(stream) == ": nothing new\n\n"
    live.clocks.ms += 1000
    assert f"id: {T_MS + 2000}" in await anext(stream)


async def test_all_streams_end_when_the_central_stops(
    live: Live, client: httpx.AsyncClient
) -> None:
    asking = asyncio.create_task(client.get("/live/events"))
    while live.subscribers._count == 0:
        await asyncio.sleep(0)
    live.subscribers.end()
    answer = await asking
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert live.subscribers._count == 0
    assert (await client.get("/live/events")).status_code == 503


async def test_only_so_many_clients_follow(live: Live, client: httpx.AsyncClient) -> None:
    live.subscribers.enter()
    live.subscribers.enter()
    answer = await client.get("/live/events")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    with pytest.raises(ReportsBusy):
        live.subscribers.enter()
    live.subscribers.leave()
    live.subscribers.enter()


def test_the_api_describes_both(live: Live) -> None:
    app = FastAPI()
    app.include_router(live_router(live.view, live.subscribers, live.clocks.now_ms))
    paths = app.openapi()["paths"]
    names = {each["name"] for each in paths["/api/v1/live"]["get"]["parameters"]}
    assert names == {"exporter", "interface", "window", "limit", "at"}
    assert "text/event-stream" in str(paths["/api/v1/live/events"])

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from prometheus_client import CollectorRegistry
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from shared.http_metrics import HttpMetrics, http_histogram


def service(registry: CollectorRegistry, *, routes_max: int = 100) -> httpx.AsyncClient:
    app = FastAPI()
    ticks = iter(range(1_000))
    app.add_middleware(
        HttpMetrics,
        histogram=http_histogram("test", registry),
        clock_s=lambda: float(next(ticks)),
        routes_max=routes_max,
    )

    @app.get("/hosts/{address}")
    async def host(address: str) -> str:
        return address

    @app.get("/refused")
    async def refused() -> None:
        raise HTTPException(409)

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError

    async def file(_request: object) -> PlainTextResponse:
        return PlainTextResponse("x")

    app.router.routes.append(Mount("/static", routes=[Route("/{path:path}", file)]))
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://test"
    )


def series(registry: CollectorRegistry) -> dict[tuple[str, str, str], float]:
    """Requests by method, route and status."""
    return {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "test_http_request_seconds_count"
    }


async def test_a_request_counts_under_the_template_of_its_route() -> None:
    registry = CollectorRegistry()
    pages = service(registry)
    for address in ("192.0.2.1", "192.0.2.2"):
        await pages.get(f"/hosts/{address}")
    await pages.get("/refused")
    await pages.get("/broken")

    assert series(registry) == {
        ("GET", "/hosts/{address}", "2xx"): 2,
        ("GET", "/refused", "4xx"): 1,
        ("GET", "/broken", "5xx"): 1,
    }
    total_s = registry.get_sample_value(
        "test_http_request_seconds_sum",
        {"method": "GET", "route": "/hosts/{address}", "status": "2xx"},
    )
    assert total_s == 2.0


async def test_nobody_can_make_labels_by_asking() -> None:
    registry = CollectorRegistry()
    pages = service(registry)
    for number in range(50):
        await pages.get(f"/no/such/{number}")
        await pages.get(f"/static/{number}")
        await pages.request(f"M{number}", "/refused")

    assert {method for method, _, _ in series(registry)} <= {"GET", "other"}
    assert len(series(registry)) <= 4


@pytest.mark.parametrize(("routes_max", "routes"), [(1, {"/refused", "other"}), (9, None)])
async def test_more_routes_than_may_be_count_together(
    routes_max: int, routes: set[str] | None
) -> None:
    registry = CollectorRegistry()
    pages = service(registry, routes_max=routes_max)
    for path in ("/refused", "/hosts/x", "/refused"):
        await pages.get(path)

    found = {route for _, route, _ in series(registry)}
    assert found == (routes or {"/refused", "/hosts/{address}"})

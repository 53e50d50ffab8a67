import httpx
from fastapi import FastAPI

from shared.health import Health, health_router


def client(health: Health) -> httpx.AsyncClient:
    app = FastAPI()
    app.include_router(health_router(health))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


async def test_a_service_is_ready_when_every_condition_is_met() -> None:
    health = Health("kafka", "store")
    pages = client(health)
    assert (await pages.get("/health/ready")).status_code == 503

    health.met("kafka")
    health.unmet("store", "disk full")
    answer = await pages.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "reasons": {"store": "disk full"}}

    health.met("store")
    assert (await pages.get("/health/ready")).status_code == 200


async def test_a_loop_that_does_not_turn_is_not_alive() -> None:
    now_s = [0.0]
    health = Health(clock=lambda: now_s[0])
    pages = client(health)
    health.turned("apply", period_s=10.0)
    now_s[0] = 9.0
    assert (await pages.get("/health/live")).status_code == 200

    now_s[0] = 12.0
    answer = await pages.get("/health/live")
    assert answer.status_code == 503
    assert answer.json()["stuck_s"] == {"apply": 12.0}

    health.turned("apply", period_s=10.0)
    assert (await pages.get("/health/live")).status_code == 200

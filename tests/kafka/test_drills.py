"""Drills as events on the real broker: one at a time, read back, and there after a restart."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from services.central.app import now_ms as clock_ms
from services.central.drills import log as drills_log
from shared.drill import Drill, Kind, encode_drill, ended
from shared.topics import Topic
from tests.central.centrals import Place, Running, authorized
from tests.central.own_roles import own_roles
from tests.central.small_registry import SmallRegistry

pytestmark = pytest.mark.kafka


@contextlib.asynccontextmanager
async def acting(place: Place) -> AsyncIterator[Running]:
    """Run a central that is the primary when the block begins."""
    registry = SmallRegistry(place.bootstrap_servers, place.roles.log)
    async with place.run() as central, registry.run():
        await central.until(lambda: central.central.roles.role.is_primary)
        yield central


@pytest.fixture
def place(broker: str, make_topic: Callable[..., Topic], tmp_path: Path) -> Place:
    settings = make_topic("settings", compacted=True, append_time=False, retention=None)
    return Place(tmp_path / "central", broker, make_topic("flows"), settings, own_roles(make_topic))


async def note(central: Running, drill: Drill, *, token: bool = True) -> int:
    answer = await central.client.put(
        f"/api/v1/drills/{drill.id}",
        content=encode_drill(drill),
        headers=authorized() if token else {},
    )
    return answer.status_code


async def test_a_report_is_kept_served_and_bounded(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drills_log, "DRILLS_KEPT", 2)
    async with acting(place) as central:
        now_ms = clock_ms()
        first = Drill("00" * 8, Kind.KILL, "command line", now_ms)
        second = Drill("11" * 8, Kind.SWITCHOVER, "central-a", now_ms + 1)

        assert await note(central, first, token=False) == 401
        assert await note(central, first) == 200
        assert await note(central, second) == 409
        assert await note(central, ended(first, now_ms + 5, "nobody took over")) == 200
        assert await note(central, first) == 409
        assert await note(central, second) == 200
        assert await note(central, ended(second, now_ms + 6)) == 200
        third = Drill("22" * 8, Kind.SWITCHOVER, "central-a", now_ms + 2)
        assert await note(central, third) == 200

        rows = (await central.get("drills"))["rows"]
        assert [row["id"] for row in rows] == [third.id, second.id]
        report = await central.get(f"drills/{second.id}")
        assert (report["verdict"], report["kind"]) == ("failed", "switchover")
        page = await central.client.get(f"/failover/drills/{second.id}")
        assert page.headers["Content-Type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        assert (await central.client.get(f"/api/v1/drills/{first.id}")).status_code == 404
        history = (await central.get("history"))["entries"]
        assert [each["is"] for each in history[-2:]] == ["claim", "acts"]
        wrong = await central.client.put(
            f"/api/v1/drills/{third.id}", content=b"{}", headers=authorized()
        )
        assert wrong.status_code == 400
        refused = await central.client.post("/api/v1/drills", headers=authorized())
        assert (refused.status_code, "nobody could take over" in refused.text) == (409, True)
    async with replace(place, data_dir=tmp_path / "other").run() as other:
        await other.until(lambda: len(other.central.drills.known()) == 2)

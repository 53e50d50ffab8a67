"""Settings as events on the real broker: written, read back, rebuilt."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from services.central.settings import TOMBSTONES_KEPT_MS
from shared.addresses import pack_address
from shared.kafka import Brokers, Producer
from shared.settings_events import ExporterNamed, encode
from shared.topics import Topic
from tests.central.centrals import Place, Running, authorized
from tests.central.own_roles import own_roles
from tests.central.small_registry import SmallRegistry

pytestmark = pytest.mark.kafka

EXPORTER = pack_address("192.0.2.1")


@pytest.fixture
def place(broker: str, make_topic: Callable[..., Topic], tmp_path: Path) -> Place:
    settings = make_topic("settings", compacted=True, append_time=False, retention=None)
    return Place(tmp_path / "central", broker, make_topic("flows"), settings, own_roles(make_topic))


@contextlib.asynccontextmanager
async def acting(place: Place) -> AsyncIterator[Running]:
    """Run a central until the block ends; it is the primary when the block begins."""
    registry = SmallRegistry(place.bootstrap_servers, place.roles.log)
    async with place.run() as central, registry.run():
        await central.until(lambda: central.central.roles.role.is_primary)
        yield central


async def test_a_change_holds_when_it_is_answered_and_on_the_other_central(
    place: Place, tmp_path: Path
) -> None:
    async with acting(place) as central:
        days = {"raw_days": 5, "minute_days": 20, "hour_days": 300}
        for path, body in (
            ("retention", days),
            ("exporters/192.0.2.1", {"name": "core-1"}),
            ("interfaces/192.0.2.1/3", {"name": "xe-0/0/1", "speed_bps": 10}),
        ):
            answer = await central.client.put(
                f"/api/v1/settings/{path}", json=body, headers=authorized()
            )
            assert answer.status_code == 200, answer.text
            assert body.items() <= answer.json().items()
        everything = await central.get("settings")
        assert everything["retention"] == days
        assert everything["exporters"] == [{"exporter": "192.0.2.1", "name": "core-1"}]
        for path in ("exporters/192.0.2.1", "retention"):
            answer = await central.client.delete(f"/api/v1/settings/{path}", headers=authorized())
            assert answer.status_code == 200, answer.text
        here = await central.get("settings")
        assert here["exporters"] == []
        assert here["retention"]["raw_days"] == 7
    other = replace(place, data_dir=tmp_path / "other")
    async with other.run() as central:
        await central.until(lambda: "settings" not in central.central.health.reasons)
        assert await central.get("settings") == here


async def test_a_change_is_taken_up_where_reading_stopped(place: Place) -> None:
    async with place.run() as central:
        await central.until(lambda: "settings" not in central.central.health.reasons)
    await send(place, ExporterNamed(EXPORTER, "named-meanwhile"))
    async with place.run() as central:
        tables = central.central.settings_tables
        await central.until(lambda: bool(tables.exporters()))


async def test_a_position_older_than_tombstones_is_read_from_the_start(place: Place) -> None:
    async with place.run() as central:
        await central.until(lambda: "settings" not in central.central.health.reasons)
    with place.opened() as central:
        tables = central.settings_tables
        position = tables.position()
        assert position is not None
        # Its removal was compacted away while this central was off.
        old = type(position)(
            position.topic_id, position.next_offset, position.read_at_ms - TOMBSTONES_KEPT_MS - 1
        )
        tables.apply([ExporterNamed(EXPORTER, "removed long ago")], old)
    async with place.run() as central:
        await central.until(lambda: "settings" not in central.central.health.reasons)
        assert central.central.settings_tables.exporters() == []


async def test_what_is_no_event_is_counted_and_passed_over(place: Place) -> None:
    producer = Producer(Brokers(place.bootstrap_servers), client_id="test")
    await producer.start()
    for value in (b"no json", b'{"v":9,"kind":"exporter"}', b'{"v":1,"kind":"?"}'):
        await producer.send(place.settings.name, partition=0, key=b"exporter/x", value=value)
    await producer.stop()
    await send(place, ExporterNamed(EXPORTER, "core"))
    async with place.run() as central:
        await central.until(lambda: bool(central.central.settings_tables.exporters()))
        registry = central.central.metrics.registry
        assert registry.get_sample_value("steadflow_central_settings_refused_total") == 3


async def send(place: Place, event: ExporterNamed) -> None:
    producer = Producer(Brokers(place.bootstrap_servers), client_id="test")
    await producer.start()
    key, value = encode(event)
    await producer.send(place.settings.name, partition=0, key=key, value=value)
    await producer.stop()

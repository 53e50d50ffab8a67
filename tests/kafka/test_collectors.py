"""Collectors and centrals that know of each other, by the real broker."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.broker import Broker
from shared.collectors import CollectorRecord, encode_collector
from shared.kafka import Brokers, FencedProducer, Producer, ensure_topics
from shared.roles.cluster import KEY, ClusterRoles, encode_roles
from shared.topics import COLLECTORS, HA_ROLES, Outgoing, Topic
from tests.central.centrals import Place
from tests.faults.collectors import Collector, collector
from tests.waiting import wait_until

pytestmark = pytest.mark.kafka

NAME = "collector-x"
ROLES = ClusterRoles(
    generation=1,
    epoch=7,
    primary="central-a",
    endpoints={"central-a": "http://10.0.0.1:8470", "central-b": "http://10.0.0.2:8470"},
)
KNOWN = {
    "primary": {"node": "central-a", "url": "http://10.0.0.1:8470", "epoch": 7},
    "standbys": [{"node": "central-b", "url": "http://10.0.0.2:8470"}],
}


def write(servers: str, *found: ClusterRoles) -> None:
    """Write each record in a transaction of its own, as a primary does."""

    async def commit() -> None:
        await ensure_topics(Brokers(servers), [HA_ROLES])
        producer = FencedProducer(Brokers(servers), client_id="test", transactional_id="test")
        await producer.start()
        for roles in found:
            await producer.commit([Outgoing(HA_ROLES.name, KEY, encode_roles(roles))])
        await producer.stop()

    asyncio.run(commit())


def knows(running: Collector) -> dict[str, Any]:  # JSON
    status = running.get("/api/v1/status").json()
    return {name: status[name] for name in KNOWN}


def metric(running: Collector, name: str) -> float:
    lines = running.get("/metrics").text.splitlines()
    (value,) = (line.split()[-1] for line in lines if line.startswith(f"{name} "))
    return float(value)


@pytest.mark.slow
def test_a_collector_knows_the_primary_and_still_does_while_kafka_is_away(
    own_broker: Broker, tmp_path: Path
) -> None:
    servers = own_broker.bootstrap_servers
    with collector(tmp_path, name=NAME, broker=servers) as running:
        assert knows(running) == {"primary": None, "standbys": []}
        assert metric(running, "steadflow_ingest_roles_epoch") == -1
        wait_until(lambda: running.get("/health/ready").status_code == 200, "it is ready")

        older = replace(ROLES, epoch=6, primary="central-b", standbys=("central-a",))
        write(servers, ROLES, older, replace(ROLES, standbys=("central-b",)))
        # Its standby stands in the last record: the older one was read before.
        wait_until(lambda: knows(running) == KNOWN, "the collector knows the primary")
        assert metric(running, "steadflow_ingest_roles_epoch") == 7
        assert metric(running, 'steadflow_ingest_primary_info{node="central-a"}') == 1
    own_broker.kill()
    with collector(tmp_path, name=NAME, broker=servers) as running:
        assert knows(running) == KNOWN
        running.send([b"no flow record"])
        wait_until(lambda: running.worker()["receiver"]["datagrams"] == 1, "it receives")
        own_broker.start()
        write(servers, replace(ROLES, epoch=9, primary="central-b"))
        wait_until(lambda: knows(running)["primary"]["epoch"] == 9, "it follows again")


@pytest.fixture
def place(broker: str, make_topic: Callable[..., Topic], tmp_path: Path) -> Place:
    settings = make_topic("settings", compacted=True, append_time=False, retention=None)
    return Place(tmp_path / "central", broker, make_topic("flows"), settings)


@pytest.mark.slow
async def test_a_central_lists_a_collector_as_it_says_of_itself(
    place: Place, broker: str, tmp_path: Path
) -> None:
    with collector(tmp_path, name=NAME, broker=broker) as running:
        running.send([b"no flow record"] * 3)
        async with place.run() as central:
            collectors = central.central.collectors

            def listed() -> bool:
                # The first records come before its receiver said how much it counted.
                return any(
                    each.collector == NAME and each.datagrams_per_s is not None
                    for each, _ in collectors.known()
                )

            await central.until(listed)
            rows = (await central.get("collectors"))["rows"]
        status = running.get("/api/v1/status").json()
    (row,) = [each for each in rows if each["collector"] == NAME]
    (worker,) = status["workers"]
    assert row["worker"] == worker["key"] == f"{NAME}/0"
    assert row["udp"] == status["udp"]
    assert row["stream"] == worker["last_received"]["stream"]
    assert row["received"] >= 3
    assert not row["is_silent"]
    assert row["age_s"] < 60


async def test_a_central_started_later_lists_who_was_there_and_passes_junk_over(
    place: Place, broker: str
) -> None:
    record = CollectorRecord(worker="collector-y/0", collector="collector-y", primary="central-a")
    key, value = encode_collector(record)
    await ensure_topics(Brokers(broker), [COLLECTORS])
    producer = Producer(Brokers(broker), client_id="test")
    await producer.start()
    for each in (b"no json", value):
        await producer.send(COLLECTORS.name, partition=0, key=key, value=each)
    await producer.stop()

    async with place.run() as central:
        collectors = central.central.collectors
        await central.until(lambda: record in [each.record for each in collectors.known()])

        refused = central.central.metrics.registry.get_sample_value(
            "steadflow_central_collector_records_refused_total"
        )
        assert refused

"""The registry on the real broker."""

import asyncio
import itertools
import statistics
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from cli.broker import Broker
from shared.kafka import Brokers, Producer, ensure_topics
from shared.roles.cluster import KEY, ClusterRoles, encode_roles
from shared.roles.fold import Standing, standing
from shared.roles.history import Tail, chained
from shared.roles.records import Claim, Config, DeathNotice, SwitchoverRequest, Tick
from shared.topics import HA_HISTORY, HA_LOG, HA_ROLES, Topic
from tests.kafka.test_kafka import delete_topic
from tests.registry.clusters import PERIOD_MS, Cluster

pytestmark = pytest.mark.kafka

MakeTopic = Callable[..., Topic]


@pytest.fixture
def cluster(broker: str, make_topic: MakeTopic, tmp_path: Path) -> Cluster:
    return Cluster(
        broker,
        make_topic("ha.log"),
        make_topic("ha.roles", compacted=True, append_time=False),
        make_topic("ha.history", append_time=False),
        tmp_path,
    )


@pytest.mark.parametrize("count", [1, 3])
async def test_registries_together_tick_about_once_a_period(cluster: Cluster, count: int) -> None:
    async with AsyncExitStack() as stack:
        found = [
            await stack.enter_async_context(cluster.registry(f"r{number}"))
            for number in range(count)
        ]
        for registry in found:
            await registry.until(lambda registry=registry: registry.state.ticks >= 20)  # type: ignore[misc]  # bound now

    read = await cluster.read()

    valid = [one.append_ms for one in read if one.state.ticks > one.before.ticks]
    apart = [after - before for before, after in itertools.pairwise(valid)]
    assert min(apart) >= 0.8 * PERIOD_MS
    assert statistics.median(apart) < 2 * PERIOD_MS
    appended = sum(isinstance(one.record, Tick) for one in read)
    print(f"registries={count} ticks={appended} valid={len(valid)} apart={sorted(apart)}")


async def test_who_is_silent_is_replaced_and_who_was_seen_to_end_at_once(cluster: Cluster) -> None:
    async with (
        cluster.registry() as registry,
        cluster.central("a", priority=1) as a,
        cluster.central("b", priority=2) as b,
        cluster.central("c", priority=3),
    ):
        await registry.until(lambda: registry.primary == "a")
        assert await registry.get("/primary") == {
            "node": "a",
            "url": "http://a",
            "epoch": registry.state.epoch,
        }

        a.is_beating = False
        await registry.until(lambda: registry.primary == "b")

        assert registry.state.reason == "silent"
        ticks = registry.state.ticks
        await cluster.append(DeathNotice(b.incarnation, "somebody"))
        await registry.until(lambda: registry.primary == "c")
        assert registry.state.reason == "seen dead"
        # Sooner than by silence.
        assert registry.state.since_tick - ticks < 7
        roles = {node["name"]: node["role"] for node in (await registry.get(VIEW))["nodes"]}
        assert roles == {"a": "dead", "b": "dead", "c": "primary"}
        assert (registry.metric("claims_total") or 0) >= 3


async def test_in_a_paused_cluster_nobody_is_replaced_but_by_a_person(cluster: Cluster) -> None:
    async with (
        cluster.registry() as registry,
        cluster.central("a", priority=1) as a,
        cluster.central("b", priority=2, lag_s=1000.0),
    ):
        await registry.until(lambda: registry.primary == "a" and "b" in nodes(registry.state))
        assert (await registry.post("/pause")).json() == {"paused": True}
        a.is_beating = False
        await registry.until(lambda: standing(registry.state) is Standing.DEAD)
        await registry.ticks(5)
        await cluster.append(
            Claim(
                incarnation=next(n for n in registry.state.members if n.startswith("b/")),
                expected_epoch=registry.state.epoch,
                reason="a claim during a pause",
                by="test",
            )
        )
        await registry.ticks(5)
        assert standing(registry.state) is Standing.DEAD
        assert (await registry.client.get("/primary")).status_code == 503

        answer = await registry.post("/failover", {"to": "b"})

        assert answer.status_code == 200, answer.text
        assert answer.json()["from"] == "a"
        assert answer.json()["to"] == "b"
        assert (await registry.post("/failover", {"to": "a"})).status_code == 412
        assert (await registry.post("/resume")).json() == {"paused": False}
        assert (await registry.get(VIEW))["paused"] is False


@pytest.mark.parametrize("way", ["failover", "switchover"])
async def test_in_a_pause_a_person_replaces_one_that_lives_and_does_not_act(
    cluster: Cluster, way: str
) -> None:
    async with (
        cluster.registry() as registry,
        cluster.central("a", priority=1, has_acted=False),
        cluster.central("b", priority=2),
    ):
        await registry.until(lambda: registry.primary == "a" and "b" in nodes(registry.state))
        assert (await registry.post("/pause")).status_code == 200
        await registry.until(lambda: standing(registry.state) is Standing.IDLE)
        await registry.ticks(5)
        assert standing(registry.state) is Standing.IDLE

        answer = await registry.post(f"/{way}", {"to": "b"})

        assert answer.status_code == 200, answer.text
        assert (answer.json()["from"], answer.json()["to"]) == ("a", "b")
        assert registry.primary == "b"


async def test_a_planned_switchover_and_those_that_are_refused(cluster: Cluster) -> None:
    async with (
        cluster.registry() as registry,
        cluster.central("a", priority=1),
        cluster.central("b", priority=2),
        cluster.central("lags", lag_s=99.0),
        cluster.central("frozen") as frozen,
    ):
        await registry.until(lambda: registry.primary == "a" and len(registry.state.members) == 4)
        frozen.is_beating = False
        await registry.ticks(4)
        before = registry.state.epoch
        for node, why in (
            ("nowhere", "there is no node nowhere"),
            ("lags", "99.0 s behind"),
            ("frozen", "has not answered"),
            ("a", "a is the primary"),
        ):
            answer = await registry.post("/switchover", {"to": node})
            assert answer.status_code == 412
            assert answer.headers["content-type"] == "application/problem+json"
            assert why in answer.json()["detail"]
        assert not any(isinstance(e.record, SwitchoverRequest) for e in await cluster.read())
        assert registry.state.epoch == before

        answer = await registry.post("/switchover", {"to": "b"})

        assert answer.status_code == 200, answer.text
        assert answer.json()["from"] == "a"
        assert answer.json()["to"] == "b"
        assert answer.json()["epoch"] > before
        assert [node["name"] for node in (await registry.get("/standby?lag=5"))["nodes"]] == ["a"]


async def test_another_registry_keeps_to_the_policy_of_the_log(cluster: Cluster) -> None:
    async with cluster.registry("r1") as first, cluster.registry("r2", period_ms=500) as second:
        await first.ticks(1)
        await second.until(lambda: second.service.health.ready and second.state.config is not None)
        notes = {**first.service.health.notes, **second.service.health.notes}
        held = first.state.config
        assert held is not None
        here, there = (100, 500) if held.period_ms == 500 else (500, 100)
        said = f"setting period_ms is {here} here and {there} in the log, which holds"
        assert notes == {"config": said}


async def test_a_log_from_the_future_is_not_touched(cluster: Cluster) -> None:
    await cluster.append(Config(fold_version=99))
    async with cluster.registry() as registry:
        await registry.until(lambda: "log" in registry.service.health.reasons)
        await registry.until(lambda: "99" in registry.service.health.reasons["log"])
        answer = await registry.post("/pause")
        assert answer.status_code == 503
        assert "fold version 99" in answer.json()["detail"]
        assert not registry.loops.done()
    assert registry.metric("sent_ticks_total") == 0


async def test_of_a_log_made_again_the_generation_grows(cluster: Cluster) -> None:
    roles = ClusterRoles(generation=6, epoch=5, primary="a")
    producer = Producer(Brokers(cluster.bootstrap_servers), client_id="test")
    await producer.start()
    await producer.send(cluster.ha_roles.name, partition=0, key=KEY, value=encode_roles(roles))
    await producer.stop()
    async with cluster.registry() as registry:
        await registry.ticks(3)
        assert generation(registry.state.config) == 7
        assert registry.metric("alarm", kind="log_remade") == 1

        await delete_topic(cluster.bootstrap_servers, cluster.ha_log.name)
        await ensure_topics(Brokers(cluster.bootstrap_servers), [cluster.ha_log])

        await registry.until(lambda: generation(registry.state.config) == 8)
        async with cluster.central("a"):
            await registry.until(lambda: registry.primary == "a")


async def test_a_frozen_broker_takes_nobodys_role(own_broker: Broker, tmp_path: Path) -> None:
    # The default period: who comes back from a freeze needs a second to connect again.
    servers = own_broker.bootstrap_servers
    cluster = Cluster(servers, HA_LOG, HA_ROLES, HA_HISTORY, tmp_path, period_ms=400)
    async with (
        cluster.registry() as registry,
        cluster.central("a", priority=1),
        cluster.central("b", priority=2),
    ):
        await registry.until(lambda: registry.primary == "a" and "b" in nodes(registry.state))
        epoch = registry.state.epoch

        own_broker.freeze()
        try:
            # Long enough to be noticed: then far more than K periods are over.
            await registry.until(lambda: "kafka" in registry.service.health.reasons)
            assert (await registry.post("/pause")).status_code == 503
        finally:
            own_broker.thaw()

        await registry.until(lambda: registry.service.health.ready)
        await registry.ticks(14)
        assert registry.state.epoch == epoch
        assert registry.primary == "a"
        assert registry.metric("claims_total") == 1


async def test_a_broker_that_comes_late_is_waited_for(own_broker: Broker, tmp_path: Path) -> None:
    own_broker.kill()
    cluster = Cluster(own_broker.bootstrap_servers, HA_LOG, HA_ROLES, HA_HISTORY, tmp_path)
    async with cluster.registry() as registry:
        await registry.until(lambda: "Kafka is away" in registry.service.health.reasons["kafka"])
        await asyncio.to_thread(own_broker.start)
        await registry.ticks(3)
        assert registry.service.health.ready


async def test_snapshots_let_a_registry_begin_in_the_middle(cluster: Cluster) -> None:
    async with cluster.registry() as registry:
        await registry.ticks(2)
        await cluster.append(*[Tick("burst")] * 1_100)
        await registry.until(lambda: registry.state.snapshot_offset >= 1_000)
        assert registry.metric("snapshots_total") == 1


async def test_history_is_read_and_its_chain_checked(cluster: Cluster) -> None:
    entries = [{"generation": 1, "offset": number, "is": "acts"} for number in range(3)]
    values, _ = chained(entries, Tail())
    producer = Producer(Brokers(cluster.bootstrap_servers), client_id="test")
    async with cluster.registry() as registry:
        assert await registry.get("/history") == {"entries": [], "problems": []}
        await producer.start()
        for value in (values[0], values[2]):
            await producer.send(cluster.ha_history.name, partition=0, key=None, value=value)
        await producer.stop()

        history = await registry.get("/history")

        assert [entry["offset"] for entry in history["entries"]] == [0, 2]
        assert history["problems"] == ["entry 2 does not follow the one before it"]


VIEW = "/api/v1/cluster"


def nodes(state: object) -> set[str]:
    return {member.node for member in state.members.values()}  # type: ignore[attr-defined]


def generation(config: Config | None) -> int:
    return 0 if config is None else config.generation

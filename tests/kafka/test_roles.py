"""A central's part in the roles on the real broker: promotion, takeover, what is written where."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.central.app import now_ms
from services.central.roles.committed import Committed
from services.central.roles.duties import RolesTopics
from services.central.roles.metrics import RolesMetrics
from services.central.roles.outbox import (
    Alive,
    Delivered,
    Item,
    Notice,
    OutboxState,
    decode_item,
    encode_item,
    key_of,
)
from services.central.roles.part import RolesPart
from services.central.roles.role import Clocks, NotPrimary, Progress
from shared.health import Health
from shared.kafka import Brokers, FencedProducer, Looks, Reader, partition_facts
from shared.roles.fold import Folded
from shared.roles.history import problems, read_entry
from shared.roles.records import DeathNotice, SwitchoverRequest
from shared.topics import Outgoing, Topic
from tests.central.own_roles import own_roles
from tests.central.small_registry import SmallRegistry

pytestmark = pytest.mark.kafka

DEADLINE_S = 60.0


async def nothing_to_read() -> None:
    """Stand in for a projection that is at the log's end."""


def make_part(broker: str, node: str, topics: RolesTopics, looks: Looks) -> RolesPart:
    return RolesPart(
        Brokers(broker),
        looks,
        node=node,
        url=lambda: f"http://{node}",
        priority=100,
        topics=topics,
        progress=lambda: Progress(0, 0, 0.0, is_fit=True),
        catch_up=nothing_to_read,
        clocks=Clocks(now_ms, lambda: time.clock_gettime(time.CLOCK_BOOTTIME)),
        health=Health(),
        metrics=RolesMetrics("test", CollectorRegistry()),
    )


class Cluster:
    def __init__(self, broker: str, topics: RolesTopics) -> None:
        self.broker = broker
        self.topics = topics
        self.registry = SmallRegistry(broker, topics.log)
        self.looks = Looks(Brokers(broker), client_id="test")
        self.parts = [make_part(broker, node, topics, self.looks) for node in ("a", "b")]
        self._tasks: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator["Cluster"]:
        async with self.registry.run():
            self._tasks = [asyncio.create_task(part.run()) for part in self.parts]
            try:
                yield self
            finally:
                for part in self.parts:
                    await self.stop(part)
                await self.looks.stop()

    async def stop(self, part: RolesPart) -> None:
        task = self._tasks[self.parts.index(part)]
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=1)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not holds():
                for task in self._tasks:
                    if task.done() and not task.cancelled():
                        await task
                await asyncio.sleep(0.005)

    @property
    def primaries(self) -> list[RolesPart]:
        return [part for part in self.parts if part.role.is_primary]

    async def acting(self, *, after_epoch: int = -1) -> RolesPart:
        """Return the primary once it acts, in a later epoch than `after_epoch`."""
        await self.until(
            lambda: any(part.role.state.epoch > after_epoch for part in self.primaries)
        )
        (primary,) = self.primaries
        return primary

    def other(self, part: RolesPart) -> RolesPart:
        return self.parts[1 - self.parts.index(part)]

    async def committed(self, topic: Topic) -> list[bytes]:
        """Return what a reader of committed records finds now."""
        (facts,) = await partition_facts(Brokers(self.broker), topic.name)
        reader = Reader(
            Brokers(self.broker), client_id="test", topic=topic.name, read_committed=True
        )
        await reader.start({0: facts.start_offset})
        values: list[bytes] = []
        try:
            while await reader.place(0) < facts.end_offset:
                found = await reader.fetch(timeout_ms=50, records_max=99)
                values += [record.value for record in found]
        finally:
            await reader.stop()
        return values


@pytest.fixture
async def cluster(broker: str, make_topic: Callable[..., Topic]) -> AsyncIterator[Cluster]:
    topics = own_roles(make_topic)
    async with Cluster(broker, topics).run() as running:
        yield running


def standbys(part: RolesPart) -> Sequence[str]:
    return () if part.committed.written is None else part.committed.written.standbys


async def test_one_acts_and_all_know_it(cluster: Cluster) -> None:
    primary = await cluster.acting()
    other = cluster.other(primary)
    await cluster.until(lambda: all(standbys(part) == (other.role.node,) for part in cluster.parts))
    assert other.committed.written == primary.committed.written
    record = Outgoing(cluster.topics.outbox.name, b"test", b"{}")
    await primary.commit([record])
    with pytest.raises(NotPrimary) as refused:
        await other.commit([record])
    assert refused.value.url == f"http://{primary.role.node}"
    assert (await cluster.committed(cluster.topics.outbox)).count(b"{}") == 1


@pytest.mark.parametrize("way", ["death notice", "switchover", "silence"])
async def test_the_role_moves(cluster: Cluster, way: str) -> None:
    first = await cluster.acting()
    await cluster.until(lambda: len(first.role.state.members) == 2)
    epoch, incarnation = first.role.state.epoch, first.role.acting.incarnation
    match way:
        case "death notice":
            await cluster.registry.append(DeathNotice(incarnation, "test"))
        case "switchover":
            await cluster.registry.append(SwitchoverRequest("", "test"))
        case _:
            await cluster.stop(first)
    second = await cluster.acting(after_epoch=epoch)
    assert second is cluster.other(first)
    await cluster.until(
        lambda: (
            second.committed.written is not None
            and second.committed.written.epoch == second.role.state.epoch
        )
    )
    assert second.committed.written is not None
    assert second.committed.written.took_s is not None
    print(way, second.committed.written.took_s)
    if way != "silence":
        await cluster.until(lambda: first.committed.written == second.committed.written)
        assert first.role.acting.phase.value == "standby"
    if way == "death notice":
        assert first.role.acting.incarnation != incarnation
    await cluster.until(lambda: len(second.committed.outbox.known) == 2)
    second.delivered(next(iter(second.committed.outbox.waiting)))
    await cluster.until(lambda: len(second.committed.outbox.waiting) == 1)
    items = [decode_item(value) for value in await cluster.committed(cluster.topics.outbox)]
    keys = [(type(item), item.key) for item in items if isinstance(item, Notice | Delivered)]
    assert len(keys) == len(set(keys)) == 3


@contextlib.asynccontextmanager
async def reading(
    broker: str, topics: RolesTopics, data_dir: Path, *, at_ms: int
) -> AsyncIterator[Committed]:
    """What a central has read that starts at `at_ms`."""
    looks = Looks(Brokers(broker), client_id="c")
    committed = Committed(
        Brokers(broker),
        looks,
        client_id="c",
        topics=topics,
        wall_ms=lambda: at_ms,
        data_dir=data_dir,
    )
    task = asyncio.create_task(committed.run())
    try:
        async with asyncio.timeout(DEADLINE_S):
            await committed.read_to_ends()
        yield committed
    finally:
        task.cancel()
        await asyncio.wait([task])
        await looks.stop()


async def test_a_notice_that_waits_for_days_outlives_a_restart(
    broker: str, make_topic: Callable[..., Topic], tmp_path: Path
) -> None:
    day_ms = 86_400_000
    topics, decided_ms = own_roles(make_topic), now_ms()
    stamp = {"generation": 1, "epoch": 1, "decided_ms": decided_ms}
    waits = Notice(**stamp, key="a", text="about a")

    async def commit(item: Item) -> None:
        producer = FencedProducer(Brokers(broker), client_id="p", transactional_id="p")
        await producer.start()
        try:
            await producer.commit([Outgoing(topics.outbox.name, key_of(item), encode_item(item))])
        finally:
            await producer.stop()

    await commit(waits)
    for days in (3, 5):
        at_ms = decided_ms + days * day_ms
        async with reading(broker, topics, tmp_path, at_ms=at_ms) as committed:
            assert committed.outbox.waiting == {"a": waits}
            await commit(Alive(generation=1, epoch=1, decided_ms=at_ms))
            await committed.read_to_ends()
    await commit(Delivered(**stamp, key="a"))
    async with reading(broker, topics, tmp_path, at_ms=decided_ms + 6 * day_ms) as committed:
        assert not committed.outbox.waiting
        await commit(Alive(generation=1, epoch=1, decided_ms=decided_ms + 6 * day_ms))
        await committed.read_to_ends()
    async with reading(broker, topics, tmp_path, at_ms=decided_ms + 7 * day_ms) as committed:
        # A day is all that is read again.
        assert committed.outbox == OutboxState()


async def test_history_is_one_chain_with_every_decision(cluster: Cluster) -> None:
    primary = await cluster.acting()
    for _ in range(3):
        await cluster.until(lambda: all(standbys(part) for part in cluster.parts))
        epoch = primary.role.state.epoch
        await cluster.registry.append(DeathNotice(primary.role.acting.incarnation, "test"))
        primary = await cluster.acting(after_epoch=epoch)
    await cluster.until(lambda: primary.committed.tail.order >= (1, primary.role.state.epoch))
    entries = [read_entry(value) for value in await cluster.committed(cluster.topics.history)]
    assert list(problems(entries)) == []
    kinds = [entry["is"] for entry in entries]
    assert kinds[0] == "config"
    assert (kinds.count("acts"), kinds.count("claim"), kinds.count("death")) == (4, 4, 3)
    del entries[3]
    assert list(problems(entries)) == ["entry 4 does not follow the one before it"]


async def test_the_chain_is_whole_though_history_is_read_before_the_claim(
    cluster: Cluster,
) -> None:
    """Whoever was replaced learns of it from `ha.log` after it read what the next one wrote."""
    first = await cluster.acting()
    await cluster.until(lambda: all(standbys(part) for part in cluster.parts))
    # Its reader of the log stands still, as that of a process that just woke may.
    following = first.reading.log.fetch

    async def nothing(**_: object) -> list[Folded]:
        await asyncio.sleep(0.01)
        return []

    first.reading.log.fetch = nothing  # type: ignore[method-assign]  # a hung reader
    second = await cluster.acting(after_epoch=first.role.state.epoch)
    await cluster.until(lambda: first.committed.tail.order >= (1, second.role.state.epoch))
    first.reading.log.fetch = following  # type: ignore[method-assign]  # and goes on
    await cluster.until(lambda: first.role.state.epoch == second.role.state.epoch)
    await cluster.until(lambda: all(standbys(part) for part in cluster.parts))
    await cluster.registry.append(DeathNotice(second.role.acting.incarnation, "test"))
    third = await cluster.acting(after_epoch=second.role.state.epoch)
    assert third is first
    await cluster.until(lambda: third.committed.tail.order >= (1, third.role.state.epoch))
    entries = [read_entry(value) for value in await cluster.committed(cluster.topics.history)]
    assert list(problems(entries)) == []

"""Old records of `ha.log` go, on the real broker: what is left folds to the same state."""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
from aiokafka import AIOKafkaProducer

from services.central.app import now_ms
from services.central.roles.log_keeping import LogKeeper
from services.central.roles.log_notes import LogNotes
from services.central.roles.role import Clocks, Role
from shared.ha_append import Appender
from shared.ha_log import HaLog, LogUnreadable
from shared.kafka import Brokers, delete_records, partition_facts
from shared.roles.acting import Phase
from shared.roles.fold import RolesState
from shared.roles.history import Tail
from shared.roles.records import Claim, Config, Heartbeat, Record, Tick, encode_record
from shared.roles.snapshot import snapshot_of
from shared.topics import Topic
from tests.central.own_roles import own_roles
from tests.kafka.test_roles import Cluster

pytestmark = pytest.mark.kafka

MakeTopic = Callable[..., Topic]
BURST = 1_250


async def append(broker: str, topic: Topic, records: Sequence[Record]) -> None:
    """Append all at once, in order."""
    producer = AIOKafkaProducer(bootstrap_servers=broker)
    await producer.start()
    try:
        sent = [
            await producer.send(topic.name, encode_record(record), partition=0)
            for record in records
        ]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def begins_at(broker: str, topic: Topic) -> int:
    (facts,) = await partition_facts(Brokers(broker), topic.name)
    return facts.start_offset


class Follower:
    """Reads a log as a central does, and keeps it short when told to."""

    def __init__(self, broker: str, topic: Topic) -> None:
        self.broker, self.topic = broker, topic
        clocks = Clocks(now_ms, lambda: time.clock_gettime(time.CLOCK_BOOTTIME))
        self.log = HaLog(Brokers(broker), client_id="a", topic=topic)
        self.notes = LogNotes()
        self.role = Role("a", boot_id="", clocks=clocks)
        self._appender = Appender(Brokers(broker), client_id="a", topic=topic.name)
        self.keeper = LogKeeper(
            Brokers(broker),
            topic=topic.name,
            role=self.role,
            notes=self.notes,
            appender=self._appender,
            is_following=lambda: True,
        )

    async def start(self) -> None:
        await self.log.start(lambda folded: self.notes.take(folded, now_s=0.0))
        self._be_primary()

    async def append(self, *records: Record) -> None:
        await append(self.broker, self.topic, records)
        await self.read()

    async def read(self) -> None:
        (facts,) = await partition_facts(Brokers(self.broker), self.topic.name)
        async with asyncio.timeout(60):
            while self.log.state.offset < facts.end_offset - 1:
                for folded in await self.log.fetch():
                    self.notes.take(folded, now_s=0.0)
        self._be_primary()

    async def look(self) -> None:
        await self.keeper.look()
        await self.read()

    async def stop(self) -> None:
        await self._appender.stop()
        await self.log.stop()

    def _be_primary(self) -> None:
        self.role.acting = self.role.acting._replace(
            roles=self.log.state, phase=Phase.ACTING, lease_until_s=math.inf
        )


@contextlib.asynccontextmanager
async def following(broker: str, topic: Topic) -> AsyncIterator[Follower]:
    follower = Follower(broker, topic)
    try:
        await follower.start()
        yield follower
    finally:
        await follower.stop()


@pytest.fixture
async def keeping(broker: str, make_topic: MakeTopic) -> AsyncIterator[Follower]:
    """A log with a claim of which `ha.history` does not know, then three snapshots."""
    topic = make_topic("ha.log", retention=None)
    beat = Heartbeat(node="a", incarnation="a/1", epoch=-1, acknowledged_ticks=0)
    await append(broker, topic, [Config(period_ms=50), beat])
    async with following(broker, topic) as follower:
        await follower.append(*[Tick("r")] * BURST)
        await follower.look()
        while follower.log.state.ticks < 2:
            await follower.append(Tick("r"))
        acknowledged = follower.log.state.ticks
        await follower.append(
            Heartbeat(node="a", incarnation="a/1", epoch=-1, acknowledged_ticks=acknowledged),
            Claim(incarnation="a/1", expected_epoch=-1, reason="test", by="r"),
        )
        assert follower.log.state.holder == "a/1"
        for _ in range(2):
            await follower.append(*[Tick("r")] * BURST)
            await follower.look()
        assert len(follower.notes.snapshots) == 3
        yield follower


async def test_nothing_goes_that_a_decision_outside_of_history_needs(keeping: Follower) -> None:
    broker, topic = keeping.broker, keeping.topic
    config, claim = keeping.notes.decisions
    assert await begins_at(broker, topic) == 0

    keeping.notes.forget_copied(Tail(generation=config["generation"], offset=config["offset"]))
    await keeping.look()

    # Before the snapshot that precedes the claim, and no further.
    assert await begins_at(broker, topic) == keeping.notes.snapshots[0] + 1
    async with following(broker, topic) as new:
        assert text(new.log.state) == text(keeping.log.state)
        assert list(new.notes.decisions) == [claim]

    keeping.notes.forget_copied(Tail(generation=claim["generation"], offset=claim["offset"]))
    await keeping.look()

    assert await begins_at(broker, topic) == keeping.notes.snapshots[1] + 1 > claim["offset"]
    async with following(broker, topic) as new:
        assert text(new.log.state) == text(keeping.log.state)
        assert not new.notes.decisions


async def test_without_the_guard_a_decision_is_lost(keeping: Follower) -> None:
    keeping.notes.decisions.clear()
    await keeping.look()
    async with following(keeping.broker, keeping.topic) as new:
        assert text(new.log.state) == text(keeping.log.state)
        assert not new.notes.decisions  # of which `ha.history` does not know either


async def test_cut_behind_every_snapshot_the_log_is_refused(keeping: Follower) -> None:
    behind = keeping.log.state.snapshot_offset + 1
    await keeping.append(Tick("r"))
    await delete_records(Brokers(keeping.broker), keeping.topic.name, before_offset=behind)
    with pytest.raises(LogUnreadable):
        async with following(keeping.broker, keeping.topic):
            pass


async def test_snapshots_are_written_with_no_registry_and_with_no_primary(
    broker: str, make_topic: MakeTopic
) -> None:
    topics = own_roles(make_topic)
    cluster = Cluster(broker, topics)
    filling = [Heartbeat(node="x", incarnation="x/1", epoch=-1, acknowledged_ticks=0)] * BURST
    async with cluster.run():
        primary = await cluster.acting()
        other = cluster.other(primary)
        await cluster.until(lambda: len(primary.role.state.members) == 2)
        cluster.registry.rests = True

        await append(broker, topics.log, filling)
        await cluster.until(lambda: primary.role.state.snapshot_offset > 0)
        assert cluster.primaries == [primary]

        before = primary.role.state.snapshot_offset
        await cluster.stop(primary)
        await append(broker, topics.log, filling)
        await cluster.until(lambda: other.role.state.snapshot_offset > before)
        assert not other.role.is_primary

        cluster.registry.rests = False
        assert await cluster.acting(after_epoch=other.role.state.epoch) is other
        async with asyncio.timeout(60):
            while await begins_at(broker, topics.log) == 0:
                await asyncio.sleep(0.05)
        cluster.registry.rests = True
        await cluster.stop(other)

        # The one has read the log from its start, the other one begins in its middle.
        whole, new = cluster.registry.log, HaLog(Brokers(broker), client_id="new", topic=topics.log)
        await new.start()
        try:
            async with asyncio.timeout(60):
                while new.state.offset != whole.state.offset:
                    await new.fetch(timeout_ms=50)
        finally:
            await new.stop()
        assert text(new.state) == text(whole.state)


def text(state: RolesState) -> str:
    return snapshot_of(state).state

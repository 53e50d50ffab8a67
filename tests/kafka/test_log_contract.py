"""Kafka does what the broker in memory does, as far as `shared/testing/log_contract.py` says."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka import errors as kafka_errors
from aiokafka.admin import AIOKafkaAdminClient

from cli.broker import Broker
from shared.kafka import (
    Brokers,
    Fenced,
    FencedProducer,
    PositionLost,
    Producer,
    Reader,
    ensure_topics,
)
from shared.testing.log_contract import DEADLINE_S, Found, Log, LogContract, Transactions
from shared.topics import Topic
from tests.stopping import freeze

pytestmark = pytest.mark.kafka

MakeTopic = Callable[..., Topic]


class KafkaTransactions:
    """One `FencedProducer`, whose transactions are left open where a test wants it."""

    def __init__(self, producer: FencedProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic
        self._is_open = False

    async def send(self, value: bytes) -> int:
        inner = self._producer._inner
        assert inner is not None
        try:
            if not self._is_open:
                await inner.begin_transaction()
                self._is_open = True
            sent = await inner.send_and_wait(self._topic, value, partition=0)
        except kafka_errors.ProducerFenced as error:
            raise Fenced from error
        return int(sent.offset)

    async def commit(self) -> None:
        inner = self._producer._inner
        assert inner is not None
        try:
            await inner.commit_transaction()
        except kafka_errors.ProducerFenced as error:
            raise Fenced from error
        self._is_open = False


class KafkaLog:
    def __init__(self, servers: str, topic: Topic, process: Broker | None = None) -> None:
        self._brokers = Brokers(servers)
        self._topic = topic
        self._process = process
        self._id = f"primary-{uuid.uuid4().hex[:8]}"
        self._producer = Producer(self._brokers, client_id="test")
        self._holders: list[FencedProducer] = []

    async def start(self) -> None:
        await self._producer.start()

    async def stop(self) -> None:
        for holder in self._holders:
            await holder.stop()
        await self._producer.stop()

    async def append(self, value: bytes) -> Found:
        sent = await self._producer.send(self._topic.name, partition=0, key=None, value=value)
        return Found(sent.offset, sent.timestamp_ms, value)

    async def read(self, offset: int, *, committed: bool) -> list[Found]:
        reader = Reader(
            self._brokers, client_id="test", topic=self._topic.name, read_committed=committed
        )
        await reader.start({0: offset})
        try:
            assert reader._inner is not None
            place = TopicPartition(self._topic.name, 0)
            # With `read_committed` the end is where the first open transaction begins.
            end = (await reader._inner.end_offsets([place]))[place]
            found: list[Found] = []
            async with asyncio.timeout(DEADLINE_S):
                while await reader.place(0) < end or offset > end:
                    found += [
                        Found(record.offset, record.timestamp_ms, record.value)
                        for record in await reader.fetch(timeout_ms=200, records_max=100)
                    ]
            return found
        except PositionLost as error:
            raise IndexError(str(error)) from error
        finally:
            await reader.stop()

    async def take_id(self) -> Transactions:
        holder = FencedProducer(self._brokers, client_id="test", transactional_id=self._id)
        await holder.start()
        self._holders.append(holder)
        return KafkaTransactions(holder, self._topic.name)

    async def make_again(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._brokers.servers)
        await admin.start()
        try:
            await admin.delete_topics([self._topic.name])
        finally:
            await admin.close()
        await ensure_topics(self._brokers, [self._topic], patience_s=DEADLINE_S)
        # A producer's numbers go on for a topic that is gone.
        await self._producer.start()

    async def freeze(self) -> None:
        assert self._process is not None
        inner = self._process.process
        assert inner is not None
        await asyncio.to_thread(freeze, inner.pid)

    async def thaw(self) -> None:
        assert self._process is not None
        self._process.thaw()

    async def clock_ms(self) -> int:
        before_ms = int(time.time() * 1000)
        while (now_ms := int(time.time() * 1000)) <= before_ms:
            await asyncio.sleep(0)
        return now_ms


def pass_over_fenced(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Of a producer that was fenced aiokafka leaves futures that nobody can look at."""
    if not isinstance(context.get("exception"), kafka_errors.ProducerFenced):
        loop.default_exception_handler(context)


class TestKafkaLog(LogContract):
    @pytest.fixture
    async def log(self, broker: str, make_topic: MakeTopic) -> AsyncIterator[Log]:
        asyncio.get_running_loop().set_exception_handler(pass_over_fenced)
        log = KafkaLog(broker, make_topic("contract"))
        await log.start()
        yield log
        await log.stop()

    @pytest.fixture
    async def own_log(self, own_broker: Broker) -> AsyncIterator[Log]:
        topic = Topic("contract", "any", 1, timedelta(hours=1), append_time=True)
        await ensure_topics(Brokers(own_broker.bootstrap_servers), [topic], patience_s=DEADLINE_S)
        log = KafkaLog(own_broker.bootstrap_servers, topic, own_broker)
        await log.start()
        yield log
        await log.stop()

    @pytest.mark.faults
    async def test_what_a_frozen_broker_is_sent_is_appended_when_it_thaws(
        self, own_log: Log
    ) -> None:
        await super().test_what_a_frozen_broker_is_sent_is_appended_when_it_thaws(own_log)

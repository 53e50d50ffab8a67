"""The broker in memory does what Kafka does, as far as `shared/testing/log_contract.py` says."""

import asyncio

import pytest

from shared.testing.log_contract import Found, Log, LogContract, Transactions
from shared.testing.memory_broker import MemoryBroker, MemoryProducer, MemoryTopic, Stored


def found(stored: Stored[bytes]) -> Found:
    return Found(stored.offset, stored.append_ms, stored.value)


class MemoryTransactions:
    def __init__(self, producer: MemoryProducer, topic: MemoryTopic[bytes]) -> None:
        self._producer = producer
        self._topic = topic

    async def send(self, value: bytes) -> int:
        return self._producer.send(self._topic, value).offset

    async def commit(self) -> None:
        self._producer.commit()


class MemoryLog:
    def __init__(self) -> None:
        self._broker = MemoryBroker()
        self._topic: MemoryTopic[bytes] = MemoryTopic(self._broker)

    async def append(self, value: bytes) -> Found:
        answer: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._broker.handle(lambda: answer.set_result(found(self._topic.append(value))))
        return await answer

    async def read(self, offset: int, *, committed: bool) -> list[Found]:
        return [found(stored) for stored in self._topic.read(offset, committed=committed)]

    async def take_id(self) -> Transactions:
        return MemoryTransactions(self._broker.init_producer("primary"), self._topic)

    async def make_again(self) -> None:
        self._topic = MemoryTopic(self._broker)

    async def freeze(self) -> None:
        self._broker.freeze()

    async def thaw(self) -> None:
        self._broker.thaw()

    async def clock_ms(self) -> int:
        self._broker.now_ms += 1
        return self._broker.now_ms


class TestMemoryLog(LogContract):
    @pytest.fixture
    def log(self) -> Log:
        return MemoryLog()

    @pytest.fixture
    def own_log(self) -> Log:
        return MemoryLog()


def test_without_fencing_who_lost_the_id_commits_all_the_same() -> None:
    broker = MemoryBroker(fences=False)
    topic: MemoryTopic[bytes] = MemoryTopic(broker)
    first = broker.init_producer("primary")
    broker.init_producer("primary")

    first.send(topic, b"late")
    first.commit()

    assert [stored.value for stored in topic.read(0, committed=True)] == [b"late"]

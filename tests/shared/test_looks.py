"""Connections that are kept for questions: when they are made anew, and who holds up whom."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiokafka import errors as kafka_errors

from shared.kafka import Brokers, Looks, PartitionFacts, looks

FACTS = [PartitionFacts("id", 0, 0, 7)]


class Client:
    """Stands in for a client; `is_closed` is said by `close`."""

    def __init__(self) -> None:
        self.is_closed = False

    async def close(self) -> None:
        self.is_closed = True


class Kafka:
    """Makes clients, and answers by what a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clients: list[Client] = []
        self.answers: Callable[[Client, str], Awaitable[None]] = self.at_once
        monkeypatch.setattr(looks, "new_client", self.new_client)
        monkeypatch.setattr(looks, "ask_facts", self.ask_facts)

    async def at_once(self, client: Client, topic: str) -> None:
        assert not client.is_closed

    async def new_client(self, brokers: Brokers, client_id: str) -> Client:
        self.clients.append(Client())
        return self.clients[-1]

    async def ask_facts(self, client: Client, topic: str) -> list[PartitionFacts]:
        await self.answers(client, topic)
        return FACTS

    @property
    def closed(self) -> list[bool]:
        return [each.is_closed for each in self.clients]


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Kafka:
    return Kafka(monkeypatch)


async def test_one_client_answers_until_it_is_stopped(kafka: Kafka) -> None:
    looks = Looks(Brokers("127.0.0.1:1"), client_id="a")
    await looks.stop()
    flows, settings = await asyncio.gather(looks.facts("flows"), looks.facts("settings"))
    assert flows == settings == FACTS
    assert await looks.facts("flows") == FACTS
    assert kafka.closed == [False]
    await looks.stop()
    assert kafka.closed == [True]


async def test_after_a_failure_another_one_is_made(kafka: Kafka) -> None:
    async def first_fails(client: Client, topic: str) -> None:
        if client is kafka.clients[0]:
            raise kafka_errors.NodeNotReadyError

    kafka.answers = first_fails
    looks = Looks(Brokers("127.0.0.1:1"), client_id="a")
    assert await looks.facts("flows") == FACTS
    assert kafka.closed == [True, False]
    await looks.stop()
    assert kafka.closed == [True, True]


async def test_who_still_waits_keeps_the_client_and_holds_nobody_up(kafka: Kafka) -> None:
    waits, goes_on = asyncio.Event(), asyncio.Event()

    async def silent_for_flows(client: Client, topic: str) -> None:
        if client is not kafka.clients[0]:
            return
        if topic == "flows":
            waits.set()
            await goes_on.wait()
            assert not client.is_closed
        elif topic == "gone":
            raise kafka_errors.NodeNotReadyError

    kafka.answers = silent_for_flows
    looks = Looks(Brokers("127.0.0.1:1"), client_id="a")
    waiting = asyncio.create_task(looks.facts("flows"))
    await waits.wait()
    assert await looks.facts("settings") == FACTS
    assert await looks.facts("gone") == FACTS
    assert kafka.closed == [False, False]
    goes_on.set()
    assert await waiting == FACTS
    assert kafka.closed == [True, False]
    await looks.stop()


async def test_who_waits_no_more_leaves_the_client_to_others(kafka: Kafka) -> None:
    waits = asyncio.Event()

    async def silent(client: Client, topic: str) -> None:
        if topic == "flows":
            waits.set()
            await asyncio.Event().wait()

    kafka.answers = silent
    looks = Looks(Brokers("127.0.0.1:1"), client_id="a")
    waiting = asyncio.create_task(looks.facts("flows"))
    await waits.wait()
    waiting.cancel()
    assert await looks.facts("settings") == FACTS
    await asyncio.wait([waiting])
    assert (waiting.cancelled(), kafka.closed) == (True, [False])
    await looks.stop()

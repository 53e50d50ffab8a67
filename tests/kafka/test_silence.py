"""Brokers that say nothing and end no connection: what is asked of them, and what of others."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from aiokafka import errors as kafka_errors
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import BrokerMetadata

from cli.broker import Broker
from shared.kafka import Brokers, silence, topics
from shared.kafka.metadata import MetadataRequest
from shared.kafka.silence import Client
from shared.kafka.topics import open_client
from shared.topics import Topic
from tests.stopping import frozen

pytestmark = pytest.mark.kafka

MakeTopic = Callable[..., Topic]
DEADLINE_S = 60


@contextlib.asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    """Accept connections and never answer; its address."""
    ended = asyncio.Event()

    async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        try:
            yield f"{host}:{port}"
        finally:
            ended.set()


@contextlib.contextmanager
def stopped(broker: Broker) -> Iterator[None]:
    assert broker.process is not None
    with frozen([broker.process.pid]):
        yield


@contextlib.asynccontextmanager
async def asking(brokers: Brokers) -> AsyncIterator[tuple[Client, int]]:
    """A client that was answered once, and by which broker."""
    async with asyncio.timeout(DEADLINE_S), open_client(brokers, "test") as client:
        node = client.get_random_node()
        await client.send(node, MetadataRequest())
        yield client, node


def address_of(server: str) -> tuple[str, int]:
    host, _, port = server.rpartition(":")
    return host, int(port)


@pytest.mark.faults
async def test_a_frozen_broker_is_known_as_silent_and_asked_again_once_it_answers(
    own_broker: Broker,
) -> None:
    brokers = Brokers(own_broker.bootstrap_servers)
    async with asking(brokers) as (client, node):
        with stopped(own_broker):
            with pytest.raises(kafka_errors.RequestTimedOutError):
                await client.send(node, MetadataRequest())
            assert brokers.silences.noted(address_of(own_broker.bootstrap_servers))
            assert not await client.ready(node)
        while not await client.ready(node):
            await asyncio.sleep(0.1)
        await client.send(node, MetadataRequest())
        assert not brokers.silences.noted(address_of(own_broker.bootstrap_servers))


@pytest.mark.faults
async def test_without_a_try_each_request_waits_for_its_timeout(
    own_broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control."""
    monkeypatch.setattr(silence, "UNANSWERED_S", 10 * DEADLINE_S)
    monkeypatch.setattr(topics, "REQUEST_TIMEOUT_S", 3 * silence.TRY_TIMEOUT_S)
    brokers = Brokers(own_broker.bootstrap_servers)
    async with asking(brokers) as (client, node):
        with stopped(own_broker), pytest.raises(kafka_errors.RequestTimedOutError):
            await client.send(node, MetadataRequest())
        assert not brokers.silences.noted(address_of(own_broker.bootstrap_servers))


async def test_a_slow_answer_is_waited_for(
    broker: str, make_topic: MakeTopic, caplog: pytest.LogCaptureFixture
) -> None:
    topic = make_topic()
    slow_ms = int(3 * silence.UNANSWERED_S * 1000)
    asked = FetchRequest(slow_ms, 1, 1000, 0, [(topic.name, [(0, 0, 1000)])])
    with caplog.at_level(logging.WARNING):
        async with asyncio.timeout(DEADLINE_S), open_client(Brokers(broker), "test") as client:
            node = client.get_random_node()
            ((_name, partitions),) = (await client.send(node, asked)).topics
    assert partitions[0][1] == 0
    assert "silent" not in caplog.text


async def test_one_begins_with_another_broker_where_the_first_says_nothing(broker: str) -> None:
    async with silent_server() as nobody:
        for servers in (f"{nobody},{broker}", f"{broker},{nobody}"):
            async with (
                asyncio.timeout(DEADLINE_S),
                open_client(Brokers(servers), "test") as client,
            ):
                await client.send(client.get_random_node(), MetadataRequest())


async def test_one_that_does_not_answer_holds_up_no_connection_to_another(broker: str) -> None:
    async with (
        asyncio.timeout(DEADLINE_S),
        silent_server() as nobody,
        open_client(Brokers(broker), "test") as client,
    ):
        (known,) = client.cluster.brokers()
        silent = BrokerMetadata("silent", *address_of(nobody), None)
        client.cluster._bootstrap_brokers["silent"] = silent
        waiting = asyncio.create_task(client.ready("silent"))
        await asyncio.sleep(0)
        assert await client.ready(known.nodeId)
        assert not waiting.done()
        assert not await waiting
        assert client.silences.noted(address_of(nobody))


@pytest.mark.faults
async def test_whoever_closes_after_one_that_no_longer_waits_is_not_ended_by_it(
    own_broker: Broker,
) -> None:
    brokers = Brokers(own_broker.bootstrap_servers)
    async with asking(brokers) as (client, node):
        with stopped(own_broker):
            # More than the kernel takes: the connection cannot end by itself.
            names = [f"{number:0100}" for number in range(200_000)]
            asked = asyncio.create_task(client.send(node, MetadataRequest(*names)))
            await asyncio.sleep(0)
            closing = asyncio.create_task(client.close())
            while client._sync_task is not None:
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            closing.cancel()
            await asyncio.wait([closing, asked])
            assert closing.cancelled()
            assert asked.exception() is not None
            await client.close()


async def test_where_nobody_answered_in_time_more_is_given() -> None:
    async with silent_server() as nobody:
        brokers = Brokers(nobody)
        with pytest.raises(kafka_errors.KafkaConnectionError):
            async with asyncio.timeout(DEADLINE_S), open_client(brokers, "test"):
                pass
        assert brokers.silences.patience_s(address_of(nobody)) == 2 * silence.TRY_TIMEOUT_S


async def test_who_begins_anew_asks_brokers_that_were_heard_of(broker: str) -> None:
    """The ones it was told of at first may be gone for good."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        nobody = f"127.0.0.1:{gone.getsockname()[1]}"
    brokers = Brokers(broker)
    async with asking(brokers):
        pass
    host, port = broker.rsplit(":", 1)
    assert brokers.silences.known[0][1] == int(port), host

    moved = Brokers(nobody)
    with pytest.raises(kafka_errors.KafkaConnectionError):
        async with asking(moved):
            pass
    moved.silences.met(brokers.silences.known)
    async with asking(moved) as (_client, node):
        assert node is not None


def test_brokers_that_were_heard_of_are_bounded_and_the_newest_are_kept() -> None:
    silences = silence.Silences()
    for port in range(3 * silence.KNOWN_MAX):
        silences.met([("h", port)])
    silences.met([("h", 1), ("h", 2)])
    assert len(silences.known) == silence.KNOWN_MAX
    assert silences.known[:3] == (("h", 1), ("h", 2), ("h", 3 * silence.KNOWN_MAX - 1))

"""The broker's listener for other machines: TLS, for those with a certificate of our authority."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cli.broker import Broker
from cli.broker_settings import NetworkListener
from cli.ports import free_port
from shared.kafka import (
    Brokers,
    FencedProducer,
    KafkaAway,
    Looks,
    Producer,
    Pulse,
    Reader,
    Record,
    delete_records,
    ensure_topics,
    first_partition_facts,
    offsets_since,
    partition_facts,
)
from shared.tasks import end_task
from shared.tls import Authority, TlsFiles, client_context, trusting
from shared.topics import Outgoing, Topic
from tests.tls_nodes import authority_in, make_node, old_client

pytestmark = pytest.mark.kafka

DEADLINE_S = 60.0
# ApiVersions, version 0, from a client without a name: the first thing any client says.
HELLO = bytes.fromhex("0000000a 0012 0000 00000007 ffff")


@dataclass(frozen=True)
class Network:
    broker: Broker
    authority: Authority
    port: int
    tls: TlsFiles
    folder: Path

    @property
    def brokers(self) -> Brokers:
        """As another machine reaches it."""
        return self.brokers_with(self.tls)

    def brokers_with(self, tls: TlsFiles | None) -> Brokers:
        """As somebody with these files would."""
        return Brokers(f"localhost:{self.port}", tls)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    folder = tmp_path_factory.mktemp("network")
    authority = authority_in(folder / "authority")
    broker = Broker.alone(folder / "kafka", port=free_port(row=2))
    listener = listener_of(authority, folder)
    broker.plan = replace(broker.plan, network=listener)
    broker.start()
    client = make_node(authority, folder / "client", name="client")
    yield Network(broker, authority, listener.port, client, folder)
    broker.kill()


def listener_of(authority: Authority, folder: Path) -> NetworkListener:
    files = make_node(authority, folder / "broker", name="broker")
    return NetworkListener("localhost", free_port(row=2), files, bind="127.0.0.1")


async def read(reader: Reader, count: int) -> list[Record]:
    records: list[Record] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(records) < count:
            records += await reader.fetch(timeout_ms=200, records_max=1000)
    return records


async def test_every_client_works_with_a_certificate_of_our_authority(network: Network) -> None:
    brokers, topic = network.brokers, Topic("secured", "any", 1, None)
    await ensure_topics(brokers, [topic], patience_s=DEADLINE_S)
    producer = Producer(brokers, client_id="test")
    await producer.start()
    await producer.send(topic.name, partition=0, key=None, value=b"idempotent")
    await producer.stop()
    fenced = FencedProducer(brokers, client_id="test", transactional_id="test")
    await fenced.start()
    await fenced.commit([Outgoing(topic.name, None, b"fenced")])
    await fenced.stop()
    pulse = Pulse(brokers, client_id="test", topic=topic.name)
    running = asyncio.create_task(pulse.run())
    async with asyncio.timeout(DEADLINE_S):
        while not pulse.send(b"pulse"):
            await asyncio.sleep(0.05)

    reader = Reader(brokers, client_id="test", topic=topic.name, read_committed=True)
    await reader.start({0: 0})
    records = await read(reader, 3)
    await reader.stop()
    await end_task(running)

    assert [record.value for record in records] == [b"idempotent", b"fenced", b"pulse"]
    facts = await first_partition_facts(brokers, topic.name)
    assert facts.start_offset == 0
    looks = Looks(brokers, client_id="test")
    assert await looks.ends([topic.name]) == {topic.name: {0: facts.end_offset}}
    assert await looks.facts(topic.name) == [facts]
    await looks.stop()
    assert await offsets_since(brokers, topic.name, 0) == {0: 0}
    await delete_records(brokers, topic.name, before_offset=1)
    assert (await first_partition_facts(brokers, topic.name)).start_offset == 1
    # Both listeners show one and the same broker.
    plain = await partition_facts(network.broker.brokers, topic.name)
    assert plain == await partition_facts(brokers, topic.name)


async def test_the_certificate_of_another_authority_is_refused(network: Network) -> None:
    theirs = make_node(authority_in(network.folder / "other"), network.folder / "theirs")
    posing = TlsFiles(network.tls.ca, theirs.certificate, theirs.key)

    for files in (theirs, posing):
        with pytest.raises(KafkaAway):
            await partition_facts(network.brokers_with(files), "any", patience_s=0.5)
    assert await partition_facts(network.brokers, "no-such-topic") == []


async def test_nothing_in_the_clear_is_answered(network: Network) -> None:
    with pytest.raises(KafkaAway):
        await partition_facts(network.brokers_with(None), "any", patience_s=0.5)


def say_hello(port: int, context: ssl.SSLContext | None) -> bytes:
    """Return the length of the answer to a first request, nothing when it is not answered."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as plain:
        if context is None:
            plain.sendall(HELLO)
            return plain.recv(4)
        with context.wrap_socket(plain, server_hostname="localhost") as secured:
            secured.sendall(HELLO)
            return secured.recv(4)


def test_without_a_certificate_or_with_tls_1_1_no_request_is_answered(network: Network) -> None:
    assert say_hello(network.port, client_context(network.tls))
    assert say_hello(network.broker.plan.port, None), "the same request on loopback"

    with pytest.raises((ssl.SSLError, ConnectionError)):
        say_hello(network.port, trusting(network.authority.certificate_pem))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        say_hello(network.port, old_client(network.tls))


def test_the_key_is_in_no_file_that_others_may_read(network: Network) -> None:
    directory = network.broker.plan.directory
    for path in (path for path in directory.rglob("*") if path.is_file()):
        if b"PRIVATE KEY" in path.read_bytes():
            assert path == network.broker.plan.key_store
            assert path.stat().st_mode & 0o077 == 0


@pytest.mark.faults
async def test_opened_to_the_network_under_load_nothing_is_lost(
    own_broker: Broker, tmp_path: Path
) -> None:
    topic = Topic("kept", "any", 1, None)
    await ensure_topics(own_broker.brokers, [topic], patience_s=DEADLINE_S)
    before = await first_partition_facts(own_broker.brokers, topic.name)
    sender = Sender(own_broker.brokers, topic)
    sending = asyncio.create_task(sender.run())
    await sender.acknowledges(50)
    listener = listener_of(authority_in(tmp_path / "authority"), tmp_path)
    brokers = Brokers(f"localhost:{listener.port}", listener.tls)

    started_s = time.monotonic()
    await asyncio.to_thread(own_broker.stop)
    own_broker.plan = replace(own_broker.plan, network=listener)
    await asyncio.to_thread(own_broker.start)
    await sender.acknowledges(sender.acknowledged + 50)
    print(
        f"restart {time.monotonic() - started_s:.1f} s, "
        f"longest wait for an acknowledgement {sender.longest_s:.1f} s"
    )
    await end_task(sending)

    after = await first_partition_facts(brokers, topic.name)
    assert after.topic_id == before.topic_id
    reader = Reader(brokers, client_id="test", topic=topic.name)
    await reader.start({0: 0})
    values = [int(record.value) for record in await read(reader, after.end_offset)]
    await reader.stop()
    assert sorted(set(values)) == list(range(max(values) + 1))
    assert max(values) + 1 >= sender.acknowledged


class Sender:
    """Sends the numbers from 0 on, each again until it is acknowledged, as a spool would."""

    def __init__(self, brokers: Brokers, topic: Topic) -> None:
        self.acknowledged = 0
        self.longest_s = 0.0
        self._topic = topic.name
        self._producer = Producer(brokers, client_id="test", delivery_timeout_s=2.0)
        self._is_started = False
        self._moved = asyncio.Event()

    async def run(self) -> None:
        try:
            while True:
                since_s = time.monotonic()
                await self._send(b"%d" % self.acknowledged)
                self.longest_s = max(self.longest_s, time.monotonic() - since_s)
                self.acknowledged += 1
                self._moved.set()
                await asyncio.sleep(0.01)
        finally:
            await self._producer.stop()

    async def _send(self, value: bytes) -> None:
        while True:
            with contextlib.suppress(KafkaAway):
                if not self._is_started:
                    await self._producer.start()
                    self._is_started = True
                await self._producer.send(self._topic, partition=0, key=None, value=value)
                return
            self._is_started = False

    async def acknowledges(self, count: int) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while self.acknowledged < count:
                self._moved.clear()
                await self._moved.wait()

"""Three brokers on this machine as one cluster, one of which may be killed."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient

from cli.broker import Broker, plan_node
from cli.broker_settings import HOST
from cli.ports import free_port
from cli.quorum import Quorum, new_quorum
from tests import loops


@dataclass(frozen=True, slots=True)
class ThreeBrokers:
    quorum: Quorum
    brokers: dict[int, Broker]

    def leader(self, topic: str) -> int:
        """Return which node leads partition 0 of `topic`."""
        return loops.run(_leader(self.quorum.bootstrap_servers, topic))


@contextlib.contextmanager
def three_brokers(folder: Path) -> Iterator[ThreeBrokers]:
    first = free_port(row=6)
    ports = [(port, port + 1) for port in range(first, first + 6, 2)]
    quorum = new_quorum(ports, host=HOST)
    brokers = {
        node.number: Broker(plan_node(folder / f"kafka-{node.number}", quorum, node))
        for node in quorum.nodes
    }
    try:
        for broker in brokers.values():
            broker.launch()
        for broker in brokers.values():
            broker.wait_ready()
        yield ThreeBrokers(quorum, brokers)
    finally:
        for broker in brokers.values():
            broker.kill()


async def _leader(bootstrap_servers: str, topic: str) -> int:
    client = AIOKafkaClient(bootstrap_servers=bootstrap_servers)
    try:
        await client.bootstrap()
        await client.set_topics([topic])
        return int(client.cluster.leader_for_partition(TopicPartition(topic, 0)))
    finally:
        await client.close()

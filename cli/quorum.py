"""The nodes that a Kafka cluster of several begins with, each a broker and a controller; pure."""

import base64
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Node:
    """One of them. directory_id: of its metadata log, the same in every node's `format`."""

    number: int
    port: int
    controller_port: int
    directory_id: str


@dataclass(frozen=True, slots=True)
class Quorum:
    """A cluster on one host. A majority of its nodes has to live."""

    host: str
    cluster_id: str
    nodes: tuple[Node, ...]

    @property
    def bootstrap_servers(self) -> str:
        """What clients are given."""
        return ",".join(f"{self.host}:{node.port}" for node in self.nodes)

    @property
    def bootstrap_controllers(self) -> str:
        """What the nodes themselves find each other by."""
        return ",".join(f"{self.host}:{node.controller_port}" for node in self.nodes)

    @property
    def initial_controllers(self) -> str:
        """What `format` is given, so that they need no vote to begin with."""
        return ",".join(
            f"{node.number}@{self.host}:{node.controller_port}:{node.directory_id}"
            for node in self.nodes
        )

    @property
    def replicas(self) -> int:
        """Of each partition."""
        return min(3, len(self.nodes))

    @property
    def in_sync_replicas_min(self) -> int:
        """So many have a record before it is acknowledged; one may be away."""
        return max(1, self.replicas - 1)


def new_quorum(
    ports: Sequence[tuple[int, int]],
    *,
    host: str,
    new_uuid: Callable[[], uuid.UUID] = uuid.uuid4,
) -> Quorum:
    """Return a new cluster. ports: of broker and controller, for each node."""
    nodes = tuple(
        Node(number, port, controller_port, new_kafka_id(new_uuid))
        for number, (port, controller_port) in enumerate(ports, 1)
    )
    return Quorum(host, new_kafka_id(new_uuid), nodes)


def new_kafka_id(new_uuid: Callable[[], uuid.UUID] = uuid.uuid4) -> str:
    """Return a random id, none with a dash in front: Kafka takes that for an option."""
    while True:
        text = base64.urlsafe_b64encode(new_uuid().bytes).rstrip(b"=").decode()
        if not text.startswith("-"):
            return text

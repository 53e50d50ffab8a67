"""What a Kafka cluster is made of, as its brokers say: machines, votes, copies; pure."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from shared.host_port import host_port

REPLICAS_MAX: Final = 3
"""Copies of each partition, once there are machines enough."""
IN_SYNC_MIN: Final = "min.insync.replicas"
BYTES_KEPT: Final = "retention.bytes"


def unnamed(number: int) -> str:
    """Return what the machine is called of a broker that names none."""
    return f"broker {number}"


def rack_of(machine: str, site: str) -> str:
    """Return `broker.rack`: Kafka tells it to all, so that nobody has to ask the machine."""
    return f"{site}/{machine}" if site else machine


def read_rack(rack: str) -> tuple[str, str]:
    """Return machine and site, each empty where there is none."""
    site, _, machine = rack.rpartition("/")
    return machine, site


class Member(NamedTuple):
    """A broker. machine: the name it goes by. host, port: as other machines reach it, by TLS.

    site: where it stands; empty is a site, too.
    """

    number: int
    machine: str
    host: str
    port: int
    is_alive: bool
    site: str = ""

    @property
    def controller_port(self) -> int:
        """Where its controller is reached: see `cli/broker_settings.py`."""
        return self.port + 1

    @property
    def address(self) -> str:
        """For a list of brokers."""
        return host_port(self.host, self.port)

    @property
    def controller_address(self) -> str:
        """The same of its controller."""
        return host_port(self.host, self.controller_port)


class Controller(NamedTuple):
    """A member of the quorum. behind: records of the metadata log that it has not yet."""

    number: int
    directory_id: bytes
    is_voter: bool
    behind: int


class Copies(NamedTuple):
    """One partition: who holds it, the preferred leader first, and who of them has all of it.

    is_moving: its replicas are being changed. leader: -1 for none.
    """

    topic: str
    partition: int
    leader: int
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]
    is_moving: bool = False


class Disk(NamedTuple):
    """The disk with a broker's log, -1 where it does not say. sizes: by topic and partition."""

    total_bytes: int
    usable_bytes: int
    sizes: Mapping[tuple[str, int], int]

    @property
    def log_bytes(self) -> int:
        """All copies there."""
        return sum(self.sizes.values())


class Facts(NamedTuple):
    """A cluster at a moment. in_sync_min, bytes_kept: by topic; the second of each partition.

    finds: where a broker that does not vote would look for who leads the quorum, `host:port` of
    controllers by its number; only of those that were asked. unreached: whose controller cannot be
    connected to; only of those that were tried.
    """

    cluster_id: str
    members: tuple[Member, ...]
    controllers: tuple[Controller, ...]
    copies: tuple[Copies, ...]
    in_sync_min: Mapping[str, int]
    bytes_kept: Mapping[str, int] = {}
    finds: Mapping[int, frozenset[str]] = {}
    unreached: frozenset[int] = frozenset()

    @property
    def voters(self) -> tuple[int, ...]:
        """Who votes."""
        return tuple(each.number for each in self.controllers if each.is_voter)

    def member(self, number: int) -> Member | None:
        """Return the broker of that number."""
        return next((each for each in self.members if each.number == number), None)

    @property
    def addresses(self) -> str:
        """All brokers, as other machines reach them: `host:port` with commas between."""
        return ",".join(each.address for each in self.members)

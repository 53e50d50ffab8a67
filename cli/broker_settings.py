"""Kafka's settings for a broker of ours, as a function of where it lives; pure.

KRaft, mostly one node alone. That is formatted so that it can grow to more while it runs: `format
--standalone` and `controller.quorum.bootstrap.servers`, never a static set of voters.

Its listeners: PLAINTEXT on loopback, for tools. LOCAL, by TLS on loopback, for the services of the
first machine. NETWORK, by TLS, for other machines and other brokers. CONTROLLER, for the quorum: on
loopback, and by TLS on the network once there is one. Kafka tells a client the addresses of the
listener that it asked on, so every broker has a LOCAL one; others are told the NETWORK address
for it, and services here find all brokers though they began with loopback.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cli.quorum import Quorum
from shared.host_port import host_port
from shared.kafka import Brokers
from shared.membership import rack_of
from shared.tls import TlsFiles

HOST = "127.0.0.1"
FIRST_NUMBER = 1
LOCAL_ABOVE = 4
"""Ports above the first one: its controller's, and the network's two are between."""


@dataclass(frozen=True, slots=True)
class NetworkListener:
    """Where other machines reach a broker: by TLS, with a certificate of the same authority.

    host: the name they are told, which the certificate holds. bind: the address that is listened
    on. tls: the broker's own certificate.
    """

    host: str
    port: int
    tls: TlsFiles
    bind: str = "0.0.0.0"

    @property
    def controller_port(self) -> int:
        """Where other machines reach its controller: beside it, so that nobody has to ask."""
        return self.port + 1


@dataclass(frozen=True, slots=True)
class LocalListener:
    """Where services of this machine reach a broker: by TLS on loopback."""

    port: int
    tls: TlsFiles


@dataclass(frozen=True, slots=True)
class JoinedCluster:
    """A cluster that is there already. controllers: `host:port` with commas."""

    cluster_id: str
    controllers: str


@dataclass(frozen=True, slots=True)
class BrokerPlan:
    """Where a broker lives. directory: all its files; log: what it prints, appended.

    network: only where other machines take part. local: for services of this machine.
    quorum: the cluster that it begins with as node `number`; joined: the one that it joins with
    that number; None for both when it is alone. known: brokers of before, `host:port` with commas.
    machine: what it is called in the cluster, site: where it stands. heap_mb: most that Java uses
    for objects.
    """

    directory: Path
    port: int
    controller_port: int
    log: Path
    network: NetworkListener | None = None
    number: int = FIRST_NUMBER
    quorum: Quorum | None = None
    local: LocalListener | None = None
    joined: JoinedCluster | None = None
    known: str = ""
    machine: str = ""
    site: str = ""
    heap_mb: int = 512

    @property
    def bootstrap_servers(self) -> str:
        """What tools are given; a broker that joined has nothing in the clear."""
        return f"{HOST}:{self.port}"

    @property
    def brokers(self) -> Brokers:
        """How processes on this machine reach it. Raises TlsError."""
        has_tls = self.joined is not None or self.local is not None
        return Brokers(self.servers, self.tls if has_tls else None)

    @property
    def servers(self) -> str:
        """The address of the same."""
        if self.joined is not None and self.network is not None:
            # Its LOCAL listener would tell the first broker's address on the loopback there.
            return host_port(self.network.host, self.network.port)
        return self.bootstrap_servers if self.local is None else f"{HOST}:{self.local.port}"

    @property
    def tls(self) -> TlsFiles | None:
        """Its certificate, where a listener needs one."""
        listener = self.network or self.local
        return None if listener is None else listener.tls

    @property
    def others(self) -> str:
        """Brokers of before on other machines, as `known`; empty where there were none.

        One alone is this machine's own, whatever its port was.
        """
        known = self.known.split(",")
        return "" if len(known) < 2 else ",".join(at for at in known if at not in self.here)

    @property
    def here(self) -> set[str]:
        """The addresses by which it is told itself; one of them is empty."""
        network, local = self.network, self.local
        return {
            "",
            "" if network is None else host_port(network.host, network.port),
            "" if local is None else f"{HOST}:{local.port}",
        }

    @property
    def properties(self) -> Path:
        """The file that Kafka reads its settings from."""
        return self.directory / "server.properties"

    @property
    def key_store(self) -> Path:
        """Key and certificates in one file, as Kafka wants them."""
        return self.directory / "network.pem"

    @property
    def data(self) -> Path:
        """Topics and metadata."""
        return self.directory / "data"


class _Listener(NamedTuple):
    name: str
    protocol: str
    bound: str
    told: str


def server_properties(plan: BrokerPlan, data: Path) -> str:
    """Return Kafka's settings for `plan` with its logs in `data`."""
    listeners = list(_listeners(plan))
    quorum = plan.quorum
    replicas = str(1 if quorum is None else quorum.replicas)
    in_sync_min = str(1 if quorum is None else quorum.in_sync_replicas_min)
    settings = {
        "process.roles": "broker,controller",
        "node.id": str(plan.number),
        "listeners": ",".join(f"{each.name}://{each.bound}" for each in listeners),
        "advertised.listeners": ",".join(f"{each.name}://{each.told}" for each in listeners),
        "listener.security.protocol.map": ",".join(
            f"{each.name}:{each.protocol}" for each in listeners
        ),
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT" if plan.network is None else "NETWORK",
        "controller.quorum.bootstrap.servers": _controllers(plan),
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync_min,
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync_min,
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync_min,
        "group.initial.rebalance.delay.ms": "0",
        # One machine may have the primary, its broker and the active controller. The next
        # controller begins to wait for that broker anew: both waits end within the 2.8 s after
        # which another central acts, whose first records need whole copies. By default 2 and 9 s;
        # a controller that is gone is asked for 30 s, and so long a leader misses no copy.
        "controller.quorum.fetch.timeout.ms": "1000",
        "controller.quorum.election.timeout.ms": "300",
        "controller.quorum.election.backoff.max.ms": "200",
        "controller.socket.timeout.ms": "750",
        "broker.session.timeout.ms": "1500",
        "broker.heartbeat.interval.ms": "250",
        "replica.lag.time.max.ms": "1000",
        # One machine, a few clients: Kafka's defaults take 128 MB for compaction alone.
        "log.cleaner.dedupe.buffer.size": "16777216",
        "num.network.threads": "2",
        "num.io.threads": "4",
    }
    if plan.others:
        # Others may come back hours later, and ending does not help. By default a minute.
        settings["initial.broker.registration.timeout.ms"] = "3600000"
    if plan.machine:
        settings["broker.rack"] = rack_of(plan.machine, plan.site)
    for listener in listeners:
        if listener.protocol == "SSL":
            settings |= _tls_settings(plan, listener.name)
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _listeners(plan: BrokerPlan) -> Iterator[_Listener]:
    network, local = plan.network, plan.local
    if plan.joined is None:
        plain = f"{HOST}:{plan.port}"
        yield _Listener("PLAINTEXT", "PLAINTEXT", plain, plain)
    if network is None:
        controller = f"{HOST}:{plan.controller_port}"
        yield _Listener("CONTROLLER", "PLAINTEXT", controller, controller)
    else:
        for name, port in (("CONTROLLER", network.controller_port), ("NETWORK", network.port)):
            bound, told = host_port(network.bind, port), host_port(network.host, port)
            yield _Listener(name, "SSL", bound, told)
    if local is not None:
        bound = told = f"{HOST}:{local.port}"
        if plan.joined is not None and network is not None:
            told = host_port(network.host, network.port)
        yield _Listener("LOCAL", "SSL", bound, told)


def _controllers(plan: BrokerPlan) -> str:
    """Return by whom it finds the quorum: its own controller first, others where there are any.

    Kafka asks nobody else while it does not vote, and never learns of more.
    """
    if plan.quorum is not None:
        return plan.quorum.bootstrap_controllers
    if plan.network is None:
        return f"{HOST}:{plan.controller_port}"
    own = host_port(plan.network.host, plan.network.controller_port)
    found = own if plan.joined is None else plan.joined.controllers
    others = (_beside(address) for address in plan.known.split(",") if address not in plan.here)
    return ",".join(dict.fromkeys((*found.split(","), *others)))


def _beside(broker: str) -> str:
    host, port = broker.rsplit(":", 1)
    return f"{host}:{int(port) + 1}"


def _tls_settings(plan: BrokerPlan, listener: str) -> dict[str, str]:
    assert plan.tls is not None
    prefix = f"listener.name.{listener.lower()}.ssl"
    return {
        f"{prefix}.keystore.type": "PEM",
        f"{prefix}.keystore.location": str(plan.key_store),
        f"{prefix}.truststore.type": "PEM",
        f"{prefix}.truststore.location": str(plan.tls.ca),
        f"{prefix}.client.auth": "required",
        f"{prefix}.enabled.protocols": "TLSv1.3,TLSv1.2",
    }

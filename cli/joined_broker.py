"""The Kafka broker of a machine that joined: its copy of the log, and later its vote."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cli.broker import prepare
from cli.broker_settings import BrokerPlan, JoinedCluster, LocalListener, NetworkListener
from cli.jars import cache_directory, fetch_jars, read_lock
from cli.known_brokers import with_known
from cli.supervise import ChildPlan
from cli.system import broker_child, log_file
from shared.kafka import Brokers
from shared.tls import TlsFiles

HEAP_MB = 256
KAFKA_PORT = 19094


def joined_plan(
    home: Path,
    given: Mapping[str, Any],  # JSON
    *,
    machine: str,
    site: str,
    host: str,
    port: int,
    bind: str = "0.0.0.0",
) -> BrokerPlan | None:
    """Return the plan of the broker here; None where the primary's Kafka is none of steadflow's.

    given: by the primary at the join. host: by which others reach this machine. port: the first
    of three: brokers and clients, the controller, and one that no client here uses.
    """
    kafka = given.get("kafka")
    if kafka is None:
        return None
    tls = TlsFiles.in_directory(home / "tls")
    return BrokerPlan(
        home / "kafka",
        port,
        port + 1,
        log_file(home, "broker"),
        network=NetworkListener(host, port, tls, bind),
        number=int(kafka["number"]),
        local=LocalListener(port + 2, tls),
        joined=JoinedCluster(str(kafka["cluster_id"]), str(kafka["controllers"])),
        known=with_known(home, ""),
        machine=machine,
        site=site,
        heap_mb=HEAP_MB,
    )


def prepared_child(plan: BrokerPlan) -> ChildPlan:
    """Fetch Kafka, write the settings, and return the child. Blocks; raises what these raise."""
    class_path: Sequence[Path] = fetch_jars(read_lock(), cache_directory())
    prepare(plan, class_path)
    return broker_child(plan, class_path)


def all_servers(plan: BrokerPlan | None, others: str) -> str:
    """Return with which brokers the services here begin: their own first."""
    return others if plan is None else f"{plan.servers},{others}"


def services_brokers(plan: BrokerPlan | None, others: str, tls: TlsFiles) -> Brokers:
    """Return the same as something to connect to. Raises TlsError."""
    return Brokers(all_servers(plan, others), tls)

"""The processes of a single-machine system: their names, where they listen, how they start."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import httpx

from cli.broker import command, configure
from cli.broker_settings import FIRST_NUMBER, HOST, BrokerPlan
from cli.known_brokers import with_known
from cli.network import network_file, tls_dir
from cli.ports import PortTaken, check_port, free_port, free_udp_port
from cli.supervise import ChildPlan, StartError
from shared.host_port import host_port
from shared.kafka import KafkaAway, TopicRefused, ensure_topics, noted_brokers
from shared.plain_http import PLAIN_HTTP
from shared.tls import TlsError
from shared.topics import TOPICS

CENTRALS = ("central-a", "central-b")
PRIORITIES = (100, 110)
COLLECTOR = "collector-1"
REGISTRY = "registry-1"
TRAFFIC_FLOWS_PER_S = 300
CENTRAL_RESTART_S = 1.5
"""A start takes a core for seconds; whoever takes over needs the machine first."""
_PROBE_TIMEOUT_S = 3.0


def _prefix(module: str) -> str:
    return f"STEADFLOW_{module.upper()}_"


_PREFIXES = tuple(_prefix(module) for module in ("registry", "central", "ingest"))


@dataclass(frozen=True, slots=True)
class Options:
    """What the user chose. Port 0: any free one; web_port: the first of four in a row."""

    home: Path
    udp_host: str = HOST
    udp_port: int = 2055
    kafka_port: int = 19092
    web_port: int = 8470
    workers: int = 1
    bootstrap_servers: str | None = None
    traffic: bool = True
    site: str = ""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the services listen."""

    udp: int
    centrals: tuple[int, ...]
    collector: int
    registry: int


def choose_ports(options: Options) -> Ports:
    """Return the ports, each free at this moment. Raises PortTaken."""
    count = len(CENTRALS) + 2
    first = options.web_port or free_port(row=count)
    web = [first + number for number in range(count)]
    if any(port > 65_535 for port in web):
        raise PortTaken(f"--web-port {options.web_port} leaves no room for {count} ports")
    for port in web:
        check_port(HOST, port, option="--web-port")
    udp = options.udp_port or free_udp_port(options.udp_host)
    check_port(options.udp_host, udp, option="--udp-port", udp=True)
    *centrals, collector, registry = web
    return Ports(udp, tuple(centrals), collector, registry)


def log_file(home: Path, name: str) -> Path:
    """Return the file that `name` prints to."""
    return home / "logs" / f"{name}.log"


def launcher_log(home: Path) -> Path:
    """Return the file that a detached launcher prints to."""
    return log_file(home, "up")


def broker_child(plan: BrokerPlan, class_path: Sequence[Path]) -> ChildPlan:
    """Return the broker, ready once it leads every topic of `shared/topics.py`."""

    async def ready() -> bool:
        try:
            await ensure_topics(plan.brokers, TOPICS, patience_s=0.0)
        except (KafkaAway, TopicRefused):
            return False
        return True

    return ChildPlan(
        "broker",
        command(plan, class_path),
        plan.log,
        ready,
        environment={},
        start_timeout_s=120.0,
        stop_timeout_s=20.0,
        stops_last=True,
        # One that does not vote yet may end when it asks for the leader in the wrong moment:
        # "Expected to be Follower, but the current state is UnattachedState".
        start_tries=1 if plan.joined is None else 3,
        before=partial(_configure_again, plan),
    )


def _configure_again(plan: BrokerPlan) -> None:
    """Have the broker ask the controllers that others have now: those of before may be gone."""
    # Else it starts with the settings that it had.
    with contextlib.suppress(TlsError, OSError):
        configure(replace(plan, known=with_known(plan.directory.parent, "")))


def kafka_settings(options: Options, servers: str) -> dict[str, object]:
    """Return how services find Kafka: ours by TLS, so that they find it on other machines too."""
    if options.bootstrap_servers is not None:
        return {"bootstrap_servers": servers}
    return kafka_by_tls(options.home, servers)


def kafka_by_tls(home: Path, servers: str) -> dict[str, object]:
    """Return how services of a home find a Kafka of steadflow's."""
    return {
        "bootstrap_servers": servers,
        "brokers_file": noted_brokers(home),
        "kafka_tls_dir": tls_dir(home),
    }


def collector_child(options: Options, ports: Ports, servers: str) -> ChildPlan:
    """Return the collector's holder, ready when its workers are."""
    settings: dict[str, object] = {
        "name": COLLECTOR,
        "spool_dir": options.home / COLLECTOR / "spool",
        "udp_host": options.udp_host,
        "udp_port": ports.udp,
        "workers": options.workers,
        "http_host": HOST,
        "http_port": ports.collector,
        **kafka_settings(options, servers),
        "token_file": options.home / "token",
    }
    return service_child(options.home, COLLECTOR, "ingest", settings, ports.collector)


def registry_child(options: Options, ports: Ports, servers: str) -> ChildPlan:
    """Return the registry."""
    settings: dict[str, object] = {
        "name": REGISTRY,
        "http_host": HOST,
        "http_port": ports.registry,
        **kafka_settings(options, servers),
        "token_file": options.home / "token",
    }
    return service_child(options.home, REGISTRY, "registry", settings, ports.registry)


def central_children(
    options: Options,
    ports: Ports,
    servers: str,
    seen_to_end: Callable[[str], None] = lambda incarnation: None,
) -> list[ChildPlan]:
    """Return the centrals, each with a store of its own.

    seen_to_end: told at once which incarnation ended, unless it was asked to.
    """
    children = []
    for name, priority, port in zip(CENTRALS, PRIORITIES, ports.centrals, strict=True):
        settings: dict[str, object] = {
            "name": name,
            "data_dir": options.home / name,
            "http_host": HOST,
            "http_port": port,
            "url": url(port),
            "priority": priority,
            "registry_urls": url(ports.registry),
            "export_address": host_port(options.udp_host, ports.udp),
            **kafka_settings(options, servers),
            "broker_number": FIRST_NUMBER if options.bootstrap_servers is None else 0,
            "token_file": options.home / "token",
            "tls_dir": tls_dir(options.home),
            "authority_dir": tls_dir(options.home),
            "network_file": network_file(options.home),
            "download_dir": options.home / "download",
        }
        plan = replace(
            service_child(options.home, name, "central", settings, port),
            temporary=options.home / name / "tmp",
            boot_id_variable="STEADFLOW_CENTRAL_BOOT_ID",
            on_end=partial(_tell_of, name, seen_to_end),
            restart_s=CENTRAL_RESTART_S,
        )
        children.append(plan)
    return children


def _tell_of(name: str, seen_to_end: Callable[[str], None], boot_id: str) -> None:
    seen_to_end(f"{name}/{boot_id}")


def holds_settings(environment: Iterable[str]) -> bool:
    """Whether a user's environment has settings of a service here, which may be misspelt."""
    return any(name.upper().startswith(_PREFIXES) for name in environment)


def check_settings(plans: Sequence[ChildPlan]) -> None:
    """Have each service read its settings, and start nothing. Raises StartError with its sentence.

    It costs each an interpreter: what comes from nobody but us needs it not.
    """
    readers = [
        subprocess.Popen(
            [*plan.command, "--dump"],
            env={**os.environ, **plan.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for plan in plans
    ]
    said = [reader.communicate()[1] for reader in readers]
    for plan, reader, sentence in zip(plans, readers, said, strict=True):
        if reader.returncode:
            raise StartError(f"{plan.name} cannot start: {sentence.strip().splitlines()[-1]}")


def traffic_child(options: Options, ports: Ports) -> ChildPlan:
    """Return the generated traffic; it needs no time to become ready."""
    target = f"{options.udp_host if options.udp_host.startswith('127.') else HOST}:{ports.udp}"
    arguments = ["--to", target, "--rate", str(TRAFFIC_FLOWS_PER_S), "--duration", "0"]

    async def ready() -> bool:
        return True

    return ChildPlan(
        "traffic",
        python_module("cli", "traffic", *arguments),
        log_file(options.home, "traffic"),
        ready,
        environment=import_path(),
    )


def python_module(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs one of our modules.

    -P: a folder called `services` or `cli` where the user happens to stand is not ours.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def import_path() -> dict[str, str]:
    """Return the environment in which our modules are found, installed or not."""
    places = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, places))}


def url(port: int) -> str:
    """Return the address of a service's HTTP pages."""
    return f"http://{HOST}:{port}"


def service_child(
    home: Path,
    name: str,
    module: str,
    settings: Mapping[str, object],
    port: int,
    *,
    start_timeout_s: float = 120.0,
) -> ChildPlan:
    """Return a service that is ready when its HTTP `port` says so."""
    prefix = _prefix(module)
    return ChildPlan(
        name,
        python_module(f"services.{module}"),
        log_file(home, name),
        http_ready(port),
        environment=import_path()
        | {f"{prefix}{key.upper()}": str(value) for key, value in settings.items()},
        start_timeout_s=start_timeout_s,
        stop_timeout_s=20.0,
    )


def http_ready(port: int) -> Callable[[], Awaitable[bool]]:
    """Return the question whether the service at `port` says that it is ready."""

    async def ready() -> bool:
        try:
            async with httpx.AsyncClient(
                timeout=_PROBE_TIMEOUT_S, trust_env=False, verify=PLAIN_HTTP
            ) as client:
                answer = await client.get(f"{url(port)}/health/ready")
        except httpx.HTTPError:
            return False
        return answer.status_code == httpx.codes.OK

    return ready

"""`steadflow up`: a broker, a registry, two centrals and a collector here, kept alive."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cli import running
from cli.among_others import (
    PATIENCE_S,
    broker_among_others,
    told_ready,
    until_ready,
    was_one_of_several,
)
from cli.broker import BrokerError, plan_broker, prepare
from cli.broker_settings import LOCAL_ABOVE, BrokerPlan, LocalListener
from cli.browser import open_page
from cli.death_notices import DeathNotices
from cli.detached import is_detached, start_detached
from cli.first_login import say_first_password
from cli.home import default_home
from cli.home_owner import Owner, check_owner
from cli.jars import JarError, cache_directory, fetch_jars, read_lock
from cli.joined_collector import receiving
from cli.known_brokers import follow, knows_others, with_known
from cli.network import NetworkWatch, machine_name, network_file, prepare_tls, tls_dir, with_network
from cli.network_plan import plan_network
from cli.own_certificate import note_own_certificate
from cli.ports import PortTaken, free_port
from cli.site import Site
from cli.status import print_status
from cli.steady import no_takeover
from cli.supervise import ChildPlan, StartError, Supervisor
from cli.system import (
    CENTRALS,
    COLLECTOR,
    REGISTRY,
    Options,
    Ports,
    broker_child,
    central_children,
    check_settings,
    choose_ports,
    collector_child,
    holds_settings,
    launcher_log,
    log_file,
    registry_child,
    traffic_child,
    url,
)
from cli.terminal import fail, progress_bar
from shared.kafka import Brokers, KafkaAway, TopicRefused, ensure_topics, noted_brokers
from shared.network import Network, NetworkError, read_network
from shared.tasks import end_task, until_one_ends
from shared.tls import TlsError
from shared.token import TokenError, make_token
from shared.topics import TOPICS

_PROBLEMS = (
    running.HomeError,
    PortTaken,
    BrokerError,
    JarError,
    StartError,
    TokenError,
    TlsError,
    NetworkError,
)


def up(
    home: Annotated[Path | None, typer.Option(help="Folder for everything it keeps.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return when all is ready.")] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Open no browser.")] = False,
    no_traffic: Annotated[bool, typer.Option("--no-traffic", help="Generate no traffic.")] = False,
    udp_host: Annotated[str, typer.Option(help="Where exporters send to.")] = "127.0.0.1",
    udp_port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any free port.")] = 2055,
    kafka_port: Annotated[int, typer.Option(min=0, max=65_531, help="The first of five.")] = 19092,
    web_port: Annotated[int, typer.Option(min=0, max=65_535, help="The first of four.")] = 8470,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Workers of the collector.")] = 1,
    bootstrap_servers: Annotated[
        str | None, typer.Option(help="A Kafka that is there already; none is started.")
    ] = None,
    site: Site = "",
) -> None:
    """Start everything here: Kafka, a registry, two centrals, a collector, sample traffic."""
    options = Options(
        home=(home or default_home()).absolute(),
        udp_host=udp_host,
        udp_port=udp_port,
        kafka_port=kafka_port,
        web_port=web_port,
        workers=workers,
        bootstrap_servers=bootstrap_servers,
        traffic=not no_traffic,
        site=site,
    )
    try:
        check_owner(options.home, Owner.SYSTEM)
    except running.HomeError as error:
        fail(str(error))
    if detach:
        if start_detached(options.home, [*sys.argv[1:], "--no-browser"]):
            say_first_password(options.home, _say)
        print_status(options.home, as_json=False)
        return
    run(options, open_browser=not no_browser)


def run(options: Options, *, open_browser: bool = False) -> None:
    """Start everything, stay until SIGINT or SIGTERM, stop everything, Kafka last.

    Ends the command with one sentence when something cannot be started.
    """
    # While a broker starts, aiokafka tells of every try.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        with running.hold(options.home):
            launch = _prepare(options)
            asyncio.run(_run(launch, open_browser=open_browser))
    except _PROBLEMS as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or options.home}: {error.strerror or error}")


@dataclass(slots=True)
class _Launch:
    """Everything decided before the first process starts.

    is_one_of_several: other machines have brokers too, and this one ran before.
    """

    options: Options
    ports: Ports
    bootstrap_servers: str
    broker: BrokerPlan | None
    class_path: list[Path] = field(default_factory=list)
    network: Network | None = None
    is_one_of_several: bool = False

    @property
    def brokers(self) -> Brokers:
        """How processes of this machine reach Kafka."""
        if self.broker is None:
            return Brokers(self.bootstrap_servers)
        return Brokers(self.bootstrap_servers, self.broker.tls)


def _prepare(options: Options) -> _Launch:
    make_token(options.home / "token")
    network = read_network(network_file(options.home))
    tls = prepare_tls(options.home, hosts=[] if network is None else [network.host])
    note_own_certificate(tls_dir(options.home))
    ports = choose_ports(options)
    if holds_settings(os.environ):
        check_settings(_services(options, ports, options.bootstrap_servers or "the broker to come"))
    if options.bootstrap_servers is not None:
        return _Launch(options, ports, options.bootstrap_servers, None, network=network)
    plan = plan_broker(
        options.home / "kafka",
        port=options.kafka_port or free_port(row=5),
        log=log_file(options.home, "broker"),
    )
    local, known = LocalListener(plan.port + LOCAL_ABOVE, tls), with_known(options.home, "")
    plan = with_network(
        replace(plan, local=local, known=known, machine=machine_name(), site=options.site),
        network,
        tls,
    )
    if not plan.data.exists() and knows_others(options.home):
        raise BrokerError(
            f"Kafka's data in {plan.data} is gone, and a new log here would be taken for the one "
            "that other machines hold: have this one join again, in another folder and in its own "
            f"place (--replace {plan.machine}); where those decide nothing without it, stop them, "
            f"remove {noted_brokers(options.home)}, and have them join anew"
        )
    is_one_of_several = was_one_of_several(plan)
    class_path = _fetch_jars()
    prepare(plan, class_path)
    servers = with_known(options.home, plan.brokers.servers)
    return _Launch(options, ports, servers, plan, class_path, network, is_one_of_several)


def _services(
    options: Options,
    ports: Ports,
    servers: str,
    seen_to_end: Callable[[str], None] = lambda incarnation: None,
) -> list[ChildPlan]:
    return [
        registry_child(options, ports, servers),
        *central_children(options, ports, servers, seen_to_end),
        collector_child(options, ports, servers),
    ]


def _fetch_jars() -> list[Path]:
    jars, directory = read_lock(), cache_directory()
    if not all((directory / jar.name).exists() for jar in jars):
        _say(f"fetching Apache Kafka, once: {len(jars)} jars, 44 MB")
    with progress_bar("Kafka") as bar:
        task = bar.add_task("Kafka", total=len(jars), facts="")
        return fetch_jars(
            jars,
            directory,
            progress=lambda have, of: bar.update(task, completed=have, facts=f"{have} of {of}"),
        )


async def _run(launch: _Launch, *, open_browser: bool) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stopped.set)
    notes = _Notes(launch)
    supervisor = Supervisor(
        changed=lambda: notes.write(supervisor), say=_say, own_log=launcher_log(launch.options.home)
    )
    watch = NetworkWatch(
        launch.options.home,
        launch.network,
        broker=launch.broker,
        child_of=partial(broker_child, class_path=launch.class_path),
        supervisor=supervisor,
        changed=supervisor.note,
        say=_say,
        meanwhile=partial(no_takeover, launch.options.home, _say),
        closed=partial(_begin_services_again, supervisor),
        plan=lambda wish: plan_network(launch.options.home, wish, say=_say)[0],
    )
    notes.network = lambda: watch.noted
    deaths = DeathNotices()
    try:
        starting = asyncio.ensure_future(_start(launch, supervisor, deaths, notes))
        stopping = asyncio.create_task(stopped.wait())
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.wait([starting])
            return
        starting.result()
        notes.ready = True
        supervisor.note()
        _say(f"ready: {url(launch.ports.centrals[0])} (Ctrl-C stops everything)")
        if open_browser:
            open_page(url(launch.ports.centrals[0]))
        saying = asyncio.create_task(_say_first_password(launch.options.home))
        watching = asyncio.create_task(watch.run())
        noting = asyncio.create_task(_note_brokers(launch))
        try:
            await until_one_ends(stopping, watching, noting)
        finally:
            await end_task(saying)
    finally:
        _say("stopping")
        await deaths.stop()
        await supervisor.stop()


def _begin_services_again(supervisor: Supervisor) -> None:
    """Have them connect anew, at once.

    A client that once asked another machine's broker knows this one by its network listener, and
    asks for it there for some 15 s. The collector is left alone: its sockets would close.
    """
    for name in (REGISTRY, *CENTRALS):
        supervisor.begin_again(name)


async def _say_first_password(home: Path) -> None:
    if not is_detached():
        await asyncio.to_thread(say_first_password, home, _say)


async def _note_brokers(launch: _Launch) -> None:
    """Note where other brokers are, for the next start; nothing where Kafka is the user's own."""
    if launch.broker is None:
        await asyncio.Event().wait()
    await follow(launch.options.home, launch.brokers)


async def _start(
    launch: _Launch, supervisor: Supervisor, deaths: DeathNotices, notes: "_Notes"
) -> None:
    servers = launch.bootstrap_servers
    if launch.broker is not None and launch.is_one_of_several:
        await _start_among_others(launch, launch.broker, supervisor, deaths, notes)
        return
    if launch.broker is not None:
        _say("starting Kafka")
        await supervisor.start(broker_child(launch.broker, launch.class_path))
    try:
        await ensure_topics(launch.brokers, TOPICS)
    except KafkaAway as error:
        raise StartError(
            f"Kafka at {servers} does not answer: is the address right, and does it run?"
        ) from error
    except TopicRefused as error:
        raise StartError(f"Kafka at {servers} refuses a topic: {error}") from error
    _say("starting the registry, the centrals and the collector")
    deaths.begin(launch.brokers)
    children = _services(launch.options, launch.ports, servers, deaths.send)
    try:
        async with asyncio.TaskGroup() as group:
            for child in children:
                group.create_task(supervisor.start(child))
    except ExceptionGroup as problems:
        raise problems.exceptions[0] from None
    if launch.options.traffic:
        await supervisor.start(traffic_child(launch.options, launch.ports))


async def _start_among_others(
    launch: _Launch,
    plan: BrokerPlan,
    supervisor: Supervisor,
    deaths: DeathNotices,
    notes: "_Notes",
) -> None:
    """Start all, what exporters send to first; whatever comes later, nothing here ends for it."""
    servers = launch.bootstrap_servers
    *services, collector = _services(launch.options, launch.ports, servers, deaths.send)
    _say("starting the collector, then Kafka")
    await supervisor.keep(collector)
    await until_ready(replace(collector, ready=receiving(launch.ports.collector)), PATIENCE_S)
    broker = broker_child(plan, launch.class_path)
    async with broker_among_others(supervisor, broker, plan.others, notes) as kafka:
        _say("starting the registry and the centrals")
        deaths.begin(launch.brokers)
        for child in services:
            await supervisor.keep(child)
        if launch.options.traffic:
            await supervisor.keep(traffic_child(launch.options, launch.ports))
        await kafka
    await told_ready(supervisor, [collector, *services])


class _Notes:
    """What `run.json` says."""

    def __init__(self, launch: _Launch) -> None:
        self._launch = launch
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self.ready = False
        self.waits = ""
        self.network: Callable[[], dict[str, object]] = dict

    def write(self, supervisor: Supervisor) -> None:
        launch = self._launch

        def process(name: str) -> dict[str, object]:
            pid = supervisor.pid(name)
            return {"pid": None} if pid is None else running.identity(pid)

        centrals = zip(CENTRALS, launch.ports.centrals, strict=True)
        udp = f"{launch.options.udp_host}:{launch.ports.udp}"
        registry = {"name": REGISTRY, "url": url(launch.ports.registry)}
        collector = {"name": COLLECTOR, "udp": udp, "url": url(launch.ports.collector)}
        running.write(
            launch.options.home,
            {
                **running.identity(os.getpid()),
                "since": self._since,
                "ready": self.ready,
                "waits": self.waits,
                "broker": {
                    # In the clear, for tools here.
                    "bootstrap_servers": launch.bootstrap_servers
                    if launch.broker is None
                    else launch.broker.bootstrap_servers,
                    **(process("broker") if launch.broker else {"pid": None}),
                },
                "registries": [{**registry, **process(REGISTRY)}],
                "collectors": [{**collector, **process(COLLECTOR)}],
                "centrals": [
                    {"name": name, "url": url(port), **process(name)} for name, port in centrals
                ],
                "traffic": process("traffic"),
                "network": self.network(),
            },
        )


def _say(sentence: str) -> None:
    typer.echo(sentence, err=True)

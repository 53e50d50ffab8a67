"""`steadflow witness ...`: a third machine, with a copy of the log and a vote, nothing more."""

import asyncio
import logging
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli import running
from cli.admission import (
    Admission,
    JoinRefused,
    admission_of,
    admit,
    default_name,
    renewed,
    tls_dir,
)
from cli.among_others import broker_among_others, told_ready, was_one_of_several
from cli.broker import BrokerError
from cli.broker_settings import BrokerPlan
from cli.certificate import watch_certificate
from cli.cluster_client import ClusterClient, ClusterError, urls_of
from cli.home import default_home
from cli.invite import AsJson, Home, Valid, print_invite
from cli.jars import JarError
from cli.joined_broker import KAFKA_PORT, all_servers, joined_plan, prepared_child
from cli.known_brokers import follow, with_known
from cli.ports import PortTaken, check_port, free_port
from cli.replacing import Replace, Yes, confirm
from cli.site import Site
from cli.staying import stays_here, until_stopped
from cli.supervise import ChildPlan, StartError, Supervisor
from cli.system import kafka_by_tls, launcher_log, service_child, url
from cli.terminal import fail
from shared.invite_token import InviteTokenError
from shared.kafka import Brokers
from shared.register import parse_primary
from shared.tls import TlsError, TlsFiles
from shared.tls.renewal import hosts_of, is_for
from shared.token import TokenError, read_token

ROLE = "witness"

witness = typer.Typer(
    name=ROLE,
    help="A third machine that keeps a copy of the log and votes: then any one may die.",
    no_args_is_help=True,
    add_completion=False,
)


@witness.command()
def invite(home: Home = None, valid: Valid = 1.0, as_json: AsJson = False) -> None:
    """Invite another machine to be the witness: print the line to run there, once."""
    print_invite(ROLE, home, valid_h=valid, as_json=as_json)


@witness.command()
def join(
    primary: Annotated[str, typer.Argument(help="https://HOST[:PORT] of the primary.")],
    token: Annotated[
        str, typer.Option(help="From the line to copy; `-` reads it from standard input.")
    ] = "",
    home: Annotated[Path | None, typer.Option(help="Folder for everything it keeps.")] = None,
    name: Annotated[str, typer.Option(help="Of this machine, unique in the system.")] = "",
    host: Annotated[str, typer.Option(help="Name or address of it for the others.")] = "",
    kafka_port: Annotated[
        int, typer.Option(min=0, max=65_533, help="The first of three; 0: free ones.")
    ] = KAFKA_PORT,
    bind: Annotated[str, typer.Option(help="Address to listen on.")] = "0.0.0.0",
    web_port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Of the registry, on loopback; 0: a free one.")
    ] = 8490,
    site: Site = "",
    replace: Replace = "",
    yes: Yes = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return when it runs.")] = False,
) -> None:
    """Make this machine the witness, with a broker and a registry; run it again without token."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    folder = (home or default_home()).absolute()
    confirm(replace, yes=yes, token=token)
    try:
        at = parse_primary(primary)
        if not stays_here(folder, token, detach=detach):
            return
        with running.hold(folder):
            here = host or socket.getfqdn()
            port, web = kafka_port or free_port(row=3), web_port or free_port()
            check_port("127.0.0.1", web, option="--web-port")
            admitted = admission_of(folder)
            if admitted is None:
                hosts = list(dict.fromkeys([here, "localhost", "127.0.0.1"]))
                wanted = name or default_name(ROLE)
                admitted = admit(folder, at, wanted, hosts, role=ROLE, replaces=replace)
                _say(f"{admitted.name} was admitted by {at.url}")
            _check_host(folder, here)
            now = datetime.now(UTC)
            admitted = renewed(folder, at, admitted, role=ROLE, now=now, say=_say)
            given = admitted._asdict()
            plan = joined_plan(
                folder, given, machine=admitted.name, site=site, host=here, port=port, bind=bind
            )
            if plan is None:
                fail("the primary runs no Kafka of its own: it needs no witness of steadflow's")
            asyncio.run(_run(folder, admitted, plan, web))
    except ValueError as error:
        fail(str(error))
    except (
        running.HomeError, PortTaken, StartError, JoinRefused, TlsError, InviteTokenError,
        BrokerError, JarError,
    ) as error:  # fmt: skip
        fail(str(error))


def _check_host(home: Path, host: str) -> None:
    """Raise JoinRefused where the others could not believe this machine under `host`."""
    files = TlsFiles.in_directory(tls_dir(home))
    if not is_for(files, host):
        raise JoinRefused(
            f"the certificate here is for {', '.join(hosts_of(files))}, not for {host}: name one "
            "of them with --host, or join anew with another --home and --name"
        )


@witness.command()
def remove(
    name: Annotated[str, typer.Argument(help="As `steadflow cluster` names the machine.")],
    home: Home = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Keep it, or let one that was removed come back.")
    ] = False,
) -> None:
    """Take copies and vote from a machine that is gone, or goes: stop it there afterwards."""
    folder = (home or default_home()).absolute()
    if not yes and not undo:
        typer.confirm(f"{name} loses its copy of the log and its vote; go on?", abort=True)
    try:
        with ClusterClient(urls_of(folder), token=read_token(folder / "token")) as client:
            client.change(f"brokers/{name}/{'keep' if undo else 'remove'}")
    except (ClusterError, TokenError) as error:
        fail(str(error))
    does = "stays" if undo else "leaves"
    typer.echo(f"{name} {does}: `steadflow cluster` says how far that is")


def registry_child(home: Path, name: str, servers: str, port: int) -> ChildPlan:
    """Return the registry: with the primary's machine dead, somebody must propose another."""
    settings: dict[str, object] = {
        "name": name,
        **kafka_by_tls(home, servers),
        "http_host": "127.0.0.1",
        "http_port": port,
    }
    return service_child(home, name, "registry", settings, port)


async def _run(home: Path, admitted: Admission, plan: BrokerPlan, web_port: int) -> None:
    notes = _Notes(home, f"registry-{admitted.name}", plan, web_port)
    supervisor = Supervisor(
        changed=lambda: notes.write(supervisor), say=_say, own_log=launcher_log(home)
    )
    servers = all_servers(plan, with_known(home, admitted.brokers))
    brokers = Brokers(servers, TlsFiles.in_directory(tls_dir(home)))

    async def start() -> None:
        is_one_of_several = was_one_of_several(plan)
        broker = await asyncio.to_thread(prepared_child, plan)
        registry = registry_child(home, notes.registry, servers, web_port)
        if not is_one_of_several:
            await supervisor.start(broker)
            await supervisor.start(registry)
            return
        async with broker_among_others(supervisor, broker, plan.others, notes) as kafka:
            await supervisor.keep(registry)
            await kafka
        await told_ready(supervisor, [registry])

    async def work() -> None:
        await start()
        notes.ready = True
        supervisor.note()
        _say(f"{admitted.name} is a witness (Ctrl-C stops it)")
        async with asyncio.TaskGroup() as group:
            group.create_task(watch_certificate(home, _say))
            group.create_task(follow(home, brokers))

    await until_stopped(work(), supervisor.stop)


class _Notes:
    """What `run.json` says of a witness."""

    def __init__(self, home: Path, registry: str, plan: BrokerPlan, web_port: int) -> None:
        self._home, self._plan, self._web_port = home, plan, web_port
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self.registry = registry
        self.ready = False
        self.waits = ""

    def write(self, supervisor: Supervisor) -> None:
        def process(name: str) -> dict[str, object]:
            pid = supervisor.pid(name)
            return {"pid": None} if pid is None else running.identity(pid)

        registry = {"name": self.registry, "url": url(self._web_port)}
        running.write(
            self._home,
            {
                **running.identity(os.getpid()),
                "since": self._since,
                "ready": self.ready,
                "waits": self.waits,
                "broker": {
                    "bootstrap_servers": self._plan.brokers.servers,
                    **process("broker"),
                },
                "registries": [{**registry, **process(self.registry)}],
                "collectors": [],
                "centrals": [],
                "traffic": {"pid": None},
            },
        )


def _say(sentence: str) -> None:
    typer.echo(sentence, err=True)

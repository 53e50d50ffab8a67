"""`steadflow collector join`: makes this machine a collector, and keeps it one while it runs."""

import asyncio
import logging
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli import running
from cli.admission import (
    ROLE,
    JoinRefused,
    admission_of,
    admit,
    default_name,
    own_hosts,
    renewed,
    tls_dir,
)
from cli.certificate import watch_certificate
from cli.home import default_home
from cli.joined_collector import HOST, CollectorPlan, all_addresses, joined_child, reasons_of
from cli.known_brokers import follow, with_known
from cli.ports import PortTaken, check_port, free_port, free_udp_port
from cli.staying import stays_here, until_stopped
from cli.supervise import StartError, Supervisor
from cli.system import check_settings, launcher_log, url
from cli.terminal import fail
from shared.invite_token import InviteTokenError
from shared.kafka import Brokers
from shared.register import Address, parse_primary
from shared.tls import TlsError, TlsFiles

POLL_S = 0.3
KAFKA_PATIENCE_S = 10.0
"""Until then Kafka mostly answered; a collector without it works, and this is only what is said."""


def join(
    primary: Annotated[str, typer.Argument(help="https://HOST[:PORT] of the primary.")],
    token: Annotated[
        str, typer.Option(help="From the line to copy; `-` reads it from standard input.")
    ] = "",
    home: Annotated[Path | None, typer.Option(help="Folder for everything it keeps.")] = None,
    name: Annotated[str, typer.Option(help="Of the collector, unique in the system.")] = "",
    udp_host: Annotated[
        str, typer.Option(help="Where exporters send to; default: all addresses of this machine.")
    ] = "",
    udp_port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any free port.")] = 2055,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Workers of the collector.")] = 1,
    web_port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Status and metrics, on loopback; 0: a free one.")
    ] = 8472,
    detach: Annotated[bool, typer.Option("--detach", help="Return when it receives.")] = False,
) -> None:
    """Make this machine a collector of the primary's system; later, without token, run it again."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    folder = (home or default_home()).absolute()
    try:
        at = _address(primary)
        if not stays_here(folder, token, detach=detach):
            return
        with running.hold(folder):
            plan = _plan(folder, at, name, udp_host, udp_port, workers, web_port)
            asyncio.run(_run(plan))
    except (
        running.HomeError, PortTaken, StartError, JoinRefused, TlsError, InviteTokenError
    ) as error:  # fmt: skip
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or folder}: {error.strerror or error}")


def _address(primary: str) -> Address:
    try:
        return parse_primary(primary)
    except ValueError as error:
        raise JoinRefused(str(error)) from error


def _plan(
    home: Path,
    primary: Address,
    name: str,
    udp_host: str,
    udp_port: int,
    workers: int,
    web_port: int,
) -> CollectorPlan:
    """Decide everything, and join unless that was done.

    Raises PortTaken, StartError, JoinRefused, TlsError; nothing is asked of the primary before all
    else is right.
    """
    address = udp_host or all_addresses()
    before = admission_of(home)
    if before is not None and name not in ("", before.name):
        raise JoinRefused(
            f"this collector joined as {before.name}: another name needs another --home"
        )
    udp = udp_port or free_udp_port(address)
    web = web_port or free_port()
    check_port(address, udp, option="--udp-port", udp=True)
    check_port(HOST, web, option="--web-port")
    wanted = name or (before.name if before else default_name(ROLE))
    plan = CollectorPlan(home, wanted, "none yet", address, udp, web, workers)
    if before is None:
        check_settings([joined_child(plan, with_tls=False)])
        before = admit(home, primary, wanted, own_hosts())
        _say(f"{before.name} was admitted by {primary.url}")
    before = renewed(home, primary, before, now=datetime.now(UTC), say=_say)
    plan = replace(plan, name=before.name, brokers=with_known(home, before.brokers))
    check_settings([joined_child(plan)])
    return plan


async def _run(plan: CollectorPlan) -> None:
    notes = _Notes(plan)
    supervisor = Supervisor(
        changed=lambda: notes.write(supervisor), say=_say, own_log=launcher_log(plan.home)
    )
    await until_stopped(_collect(plan, supervisor, notes), supervisor.stop)


async def _collect(plan: CollectorPlan, supervisor: Supervisor, notes: "_Notes") -> None:
    await supervisor.start(joined_child(plan))
    _say(f"{plan.name} receives on UDP {plan.udp} (Ctrl-C stops it)")
    if why := await _why_not_ready(plan):
        _say(f"  it spools meanwhile: {why}; does {plan.brokers} let this machine in?")
    notes.ready = True
    supervisor.note()
    # The collector itself learns of other brokers while it runs; its next start does not.
    brokers = Brokers(plan.brokers, TlsFiles.in_directory(tls_dir(plan.home)))
    async with asyncio.TaskGroup() as group:
        group.create_task(watch_certificate(plan.home, _say))
        group.create_task(follow(plan.home, brokers))


async def _why_not_ready(plan: CollectorPlan) -> str:
    """Wait a while for Kafka; return what is missing then, empty when nothing is."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + KAFKA_PATIENCE_S
    while (reasons := await reasons_of(plan.web_port)) != {}:
        if loop.time() > deadline_s:
            return "; ".join(reasons.values()) if reasons else "it does not say why"
        await asyncio.sleep(POLL_S)
    return ""


class _Notes:
    """What `run.json` says of a collector's machine."""

    def __init__(self, plan: CollectorPlan) -> None:
        self._plan = plan
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self.ready = False

    def write(self, supervisor: Supervisor) -> None:
        plan = self._plan
        pid = supervisor.pid(plan.name)
        process = {"pid": None} if pid is None else running.identity(pid)
        running.write(
            plan.home,
            {
                **running.identity(os.getpid()),
                "since": self._since,
                "ready": self.ready,
                "broker": {"bootstrap_servers": plan.brokers, "pid": None},
                "registries": [],
                "collectors": [
                    {"name": plan.name, "udp": plan.udp, "url": url(plan.web_port), **process}
                ],
                "centrals": [],
                "traffic": {"pid": None},
            },
        )


def _say(sentence: str) -> None:
    typer.echo(sentence, err=True)

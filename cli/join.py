"""`steadflow standby join`: makes this machine a hot standby, and keeps it one while it runs."""

import asyncio
import logging
import math
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from cli import running
from cli.admission import JoinRefused, default_name
from cli.among_others import PATIENCE_S, kafka_there, was_one_of_several
from cli.broker import BrokerError
from cli.broker_settings import BrokerPlan
from cli.certificate import renew_own
from cli.death_notices import DeathNotices
from cli.detached import start_detached
from cli.home import default_home
from cli.home_owner import Owner, check_owner
from cli.invite_file import go_on_without_token, keep_token, without_token
from cli.jars import JarError
from cli.join_shown import Change, Notes, Shown, stopped, wanted, was_proven
from cli.joined_broker import KAFKA_PORT, prepared_child, services_brokers
from cli.known_brokers import follow, with_known
from cli.ports import PortTaken, check_port, free_port
from cli.replacing import Replace, Yes, confirm
from cli.site import Site
from cli.standby_children import (
    StandbyPlan,
    agent_child,
    broker_plan,
    central_child,
    registry_child,
)
from cli.standby_home import StandbyHome, write_standby
from cli.staying import until_stopped
from cli.supervise import StartError, Supervisor
from cli.system import http_ready, launcher_log
from cli.terminal import fail, progress_bar
from shared.invite_token import InviteTokenError
from shared.tasks import end_task
from shared.tls import TlsError, TlsFiles
from shared.tls.renewal import name_of

POLL_S = 0.3
PROVEN_POLL_S = 2.0
ASK_TIMEOUT_S = 5.0


def join(
    primary: Annotated[str, typer.Argument(help="https://HOST[:PORT] of the primary.")],
    token: Annotated[
        str, typer.Option(help="From the line to copy; `-` reads it from standard input.")
    ] = "",
    home: Annotated[Path | None, typer.Option(help="Folder for everything it keeps.")] = None,
    name: Annotated[str, typer.Option(help="Of the central here, unique in the cluster.")] = "",
    host: Annotated[
        list[str] | None,
        typer.Option(help="Name or address of this machine for the others; may be repeated."),
    ] = None,
    https_port: Annotated[int, typer.Option(min=1, max=65_535, help="For the others.")] = 8443,
    web_port: Annotated[
        int, typer.Option(min=0, max=65_533, help="The first of three on loopback; 0: free ones.")
    ] = 8480,
    kafka_port: Annotated[
        int,
        typer.Option(min=0, max=65_533, help="Of the broker, the first of three; 0: free."),
    ] = KAFKA_PORT,
    bind: Annotated[str, typer.Option(help="Address on which the broker listens.")] = "0.0.0.0",
    rate: Annotated[float, typer.Option(min=0, help="Most MB/s of the copy; 0: no limit.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="In spite of red lines.")] = False,
    copy_only: Annotated[
        bool, typer.Option("--copy-only", help="Keep a copy, and never be chosen as the primary.")
    ] = False,
    rejoin: Annotated[
        bool,
        typer.Option(help="Copy anew by itself when it was away longer than Kafka keeps messages."),
    ] = True,
    site: Site = "",
    replace: Replace = "",
    yes: Yes = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return when it is proven.")] = False,
) -> None:
    """Make this machine a hot standby of the primary; interrupted, run it again: it goes on."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    folder = (home or default_home()).absolute()
    hosts = tuple(host or [socket.getfqdn()])
    try:
        check_owner(folder, Owner.STANDBY)
        files = TlsFiles.in_directory(folder / "tls")
        wanted = _name(files, name)
        confirm(replace, yes=yes, token=token)
        if token:
            if files.certificate.exists():
                # Of no use to who has joined, and must not lie about.
                running.check_free(folder)
            else:
                keep_token(folder, token)
            if not detach:
                go_on_without_token()
        if detach:
            # A large store over a slow link takes hours; the agent says when it would never end.
            if start_detached(folder, without_token(sys.argv[1:]), timeout_s=math.inf):
                typer.echo(f"{folder}: a proven hot standby runs")
            return
        with running.hold(folder):
            first = web_port or free_port(row=3)
            for number in range(3):
                check_port("127.0.0.1", first + number, option="--web-port")
            plan = StandbyPlan(
                home=folder,
                name=wanted,
                primary=primary,
                hosts=hosts,
                https_port=https_port,
                web_port=first,
                copy_bytes_per_s=int(rate * 1e6),
                is_forced=force,
                kafka_port=kafka_port or free_port(row=3),
                bind=bind,
                copies_only=copy_only,
                rejoins=rejoin,
                replaces=replace,
                site=site,
            )
            write_standby(
                folder,
                StandbyHome(
                    plan.name, primary, hosts, https_port, plan.copy_bytes_per_s, plan.kafka_port
                ),
            )
            if renew_own(plan.tls_dir, role="standby", hosts=hosts, now=datetime.now(UTC)):
                _say("this machine's certificate is renewed")
            asyncio.run(_run(plan))
    except (
        running.HomeError, PortTaken, StartError, JoinRefused, TlsError, InviteTokenError,
        BrokerError, JarError,
    ) as error:  # fmt: skip
        fail(str(error))


def _name(files: TlsFiles, given: str) -> str:
    """Return the central's name: it stays, for another one would begin with nothing."""
    if not files.certificate.exists():
        return given or default_name("central")
    joined_as = name_of(files)
    if given not in ("", joined_as):
        raise JoinRefused(f"this machine joined as {joined_as}: another name needs another --home")
    return joined_as


async def _run(plan: StandbyPlan) -> None:
    notes = Notes(plan)
    supervisor = Supervisor(
        changed=lambda: notes.write(supervisor), say=_say, own_log=launcher_log(plan.home)
    )
    deaths = DeathNotices()

    async def end() -> None:
        await deaths.stop()
        await supervisor.stop()

    await until_stopped(_become_standby(plan, supervisor, deaths, notes), end)


async def _become_standby(
    plan: StandbyPlan, supervisor: Supervisor, deaths: DeathNotices, notes: Notes
) -> None:
    """Follow the agent for ever; start what runs here when there is a copy, and with each new one.

    Raises JoinRefused and StartError before this machine was proven once.
    """
    await supervisor.start(agent_child(plan))
    machine = _Machine(plan, supervisor, deaths, notes)
    try:
        await _follow_agent(machine, plan, notes)
    finally:
        for task in machine.tasks:
            await end_task(task)


async def _follow_agent(machine: "_Machine", plan: StandbyPlan, notes: Notes) -> None:
    async with httpx.AsyncClient(timeout=ASK_TIMEOUT_S, trust_env=False) as client:
        with progress_bar("copying") as bar:
            copying = bar.add_task("copying", total=None, facts="")
            while not notes.ready:
                await machine.look(client, lambda facts: bar.update(copying, **facts))
                await asyncio.sleep(POLL_S)
        _say(f"{plan.name} is a proven hot standby (Ctrl-C stops it)")
        while True:
            await machine.look(client, lambda facts: None)
            await asyncio.sleep(PROVEN_POLL_S)


@dataclass(slots=True)
class _Machine:
    """What runs here beside the agent, as the agent's state wants it."""

    plan: StandbyPlan
    supervisor: Supervisor
    deaths: DeathNotices
    notes: Notes
    shown: Shown = field(default_factory=Shown)
    runs: bool = False
    is_restoring: bool = False
    why_stopped: str = ""
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def look(
        self, client: httpx.AsyncClient, show_copy: Callable[[dict[str, Any]], None]
    ) -> None:
        """Ask the agent once, and do what its state wants."""
        for task in self.tasks:
            if task.done():
                task.result()
        state = await _ask(client, f"{self.plan.agent_url}/api/v1/join")
        if state is None:
            return
        self.shown.show(state, show_copy)
        why = "" if self.notes.ready else stopped(state)
        if why and not was_proven(state):
            raise JoinRefused(why)
        self._note_stopped(why)
        change = wanted(state, runs=self.runs, is_restoring=self.is_restoring)
        await self._run(change, proven=was_proven(state))
        self.is_restoring = state["phase"] == "restoring"
        is_new = state["phase"] == "standby" and not self.notes.ready
        if is_new and await http_ready(self.plan.web_port)():
            self.notes.ready = True
            self.supervisor.note()

    def _note_stopped(self, why: str) -> None:
        if why == self.why_stopped:
            return
        self.why_stopped = why
        self.notes.waits = why and f"{self.plan.name} is no hot standby, all else runs: {why}"
        if why:
            self.supervisor.say(self.notes.waits)
        self.supervisor.note()

    async def _run(self, change: Change, *, proven: bool) -> None:
        """proven: what does not start ends nothing, and is tried again."""
        if change is Change.NOTHING:
            return
        given = self.plan.given()
        central = central_child(self.plan, given, self.deaths.send)
        if change is Change.START:
            self.runs = True
            files = TlsFiles.in_directory(self.plan.tls_dir)
            servers = with_known(self.plan.home, given["brokers"])
            broker = broker_plan(self.plan, given)
            brokers = services_brokers(broker, servers, files)
            is_needed = proven
            if broker is not None:
                is_needed |= was_one_of_several(broker)
                await self._start_broker(broker, is_needed=is_needed)
            self.tasks.append(asyncio.create_task(follow(self.plan.home, brokers)))
            self.deaths.begin(brokers)
            registry = registry_child(self.plan, given)
            await (self.supervisor.keep if is_needed else self.supervisor.start)(registry)
            await (self.supervisor.keep if proven else self.supervisor.start)(central)
        else:
            _say(f"{self.plan.name} starts again, out of the new copy")
            await (self.supervisor.keep if proven else self.supervisor.restart)(central)

    async def _start_broker(self, plan: BrokerPlan, *, is_needed: bool) -> None:
        child = await asyncio.to_thread(prepared_child, plan)
        if not is_needed:
            await self.supervisor.start(child)
            return
        await self.supervisor.keep(child)
        waiting = asyncio.create_task(kafka_there(self.supervisor, child, plan.others, self.notes))
        self.tasks.append(waiting)
        await asyncio.wait([waiting], timeout=PATIENCE_S)


async def _ask(client: httpx.AsyncClient, url: str) -> dict[str, Any] | None:  # JSON
    try:
        answer = await client.get(url)
        content: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError):
        return None
    return content if answer.is_success else None


def _say(sentence: str) -> None:
    typer.echo(sentence, err=True)

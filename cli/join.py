"""`steadflow standby join`: makes this machine a hot standby, and keeps it one while it runs."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from cli import running
from cli.death_notices import DeathNotices
from cli.home import default_home
from cli.invite_file import go_on_without_token, keep_token, without_token
from cli.ports import PortTaken, check_port, free_port
from cli.standby_children import StandbyPlan, agent_child, central_child, registry_child
from cli.supervise import StartError, Supervisor
from cli.terminal import fail, format_bytes, progress_bar
from cli.up import start_detached
from shared.invite_token import InviteTokenError
from shared.kafka import Brokers
from shared.tls import TlsError, TlsFiles

POLL_S = 0.3
ASK_TIMEOUT_S = 5.0
COPIED_PHASES = ("restoring", "following", "proving", "standby")
"""From the first of them on a central may run here."""
_COLOURS = {"green": "green", "amber": "yellow", "red": "red"}


class JoinRefused(Exception):
    """This machine does not become a standby as it is; the text is one sentence."""


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
    rate: Annotated[float, typer.Option(min=0, help="Most MB/s of the copy; 0: no limit.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="In spite of red lines.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return when it is proven.")] = False,
) -> None:
    """Make this machine a hot standby of the primary; interrupted, run it again: it goes on."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    folder = (home or default_home()).absolute()
    hosts = tuple(host or [socket.getfqdn()])
    try:
        if token:
            keep_token(folder, token)
            if not detach:
                go_on_without_token()
        if detach:
            start_detached(folder, without_token(sys.argv[1:]))
            typer.echo(f"{folder}: a proven hot standby runs")
            return
        with running.hold(folder):
            first = web_port or free_port(row=3)
            for number in range(3):
                check_port("127.0.0.1", first + number, option="--web-port")
            plan = StandbyPlan(
                home=folder,
                name=name or _default_name(),
                primary=primary,
                hosts=hosts,
                https_port=https_port,
                web_port=first,
                copy_bytes_per_s=int(rate * 1e6),
                is_forced=force,
            )
            asyncio.run(_run(plan))
    except (
        running.HomeError, PortTaken, StartError, JoinRefused, TlsError, InviteTokenError
    ) as error:  # fmt: skip
        fail(str(error))


def _default_name() -> str:
    host = socket.gethostname().partition(".")[0]
    return f"central-{host}"[:64]


async def _run(plan: StandbyPlan) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    notes = _Notes(plan)
    supervisor = Supervisor(changed=lambda: notes.write(supervisor), say=_say)
    deaths = DeathNotices()
    working = asyncio.ensure_future(_become_standby(plan, supervisor, deaths, notes))
    stopping = asyncio.ensure_future(stopped.wait())
    try:
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            await stopping
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.wait([working, stopping])
        _say("stopping")
        await deaths.stop()
        await supervisor.stop()


async def _become_standby(
    plan: StandbyPlan, supervisor: Supervisor, deaths: DeathNotices, notes: "_Notes"
) -> None:
    """Follow the agent until this machine is proven; start what runs here when there is a copy."""
    await supervisor.start(agent_child(plan))
    shown = _Shown()
    runs_central = False
    with progress_bar("copying") as bar:
        copying = bar.add_task("copying", total=None, facts="")
        async with httpx.AsyncClient(timeout=ASK_TIMEOUT_S, trust_env=False) as client:
            while True:
                state = await _ask(client, f"{plan.agent_url}/api/v1/join")
                if state is not None:
                    shown.show(state, bar, copying)
                    if state["phase"] == "refused":
                        raise JoinRefused("refused: mend the red lines, or join with --force")
                    if state["is_stuck"]:
                        raise JoinRefused(state["problem"])
                    if state["phase"] in COPIED_PHASES and not runs_central:
                        runs_central = True
                        given = plan.given()
                        files = TlsFiles.in_directory(plan.tls_dir)
                        deaths.begin(Brokers(given["brokers"], files))
                        await supervisor.start(registry_child(plan, given))
                        await supervisor.start(central_child(plan, given, deaths.send))
                    if state["phase"] == "standby":
                        break
                await asyncio.sleep(POLL_S)
    notes.ready = True
    notes.write(supervisor)
    _say(f"{plan.name} is a proven hot standby (Ctrl-C stops it)")


@dataclass(slots=True)
class _Shown:
    """What of the agent's state was said already."""

    phase: str = ""
    problem: str = ""
    lines: int = 0

    def show(self, state: Mapping[str, Any], bar: Progress, copying: TaskID) -> None:
        if state["lines"] and not self.lines:
            self.lines = len(state["lines"])
            print_lines(state["lines"])
        if state["phase"] != self.phase:
            self.phase = state["phase"]
            _say(f"{state['name']} {state['says']}")
        if state["problem"] and state["problem"] != self.problem:
            _say(f"  not yet: {state['problem']}")
        self.problem = state["problem"]
        if state["bytes_total"]:
            done, total = state["bytes_done"], state["bytes_total"]
            facts = f"{format_bytes(done)} of {format_bytes(total)}"
            bar.update(copying, total=total, completed=done, facts=facts)


def print_lines(lines: list[dict[str, str]]) -> None:
    """Print the checks, each with its light and, where it is not green, what to do."""
    table = Table(box=None, show_header=False)
    for line in lines:
        colour = _COLOURS.get(line["light"], "white")
        light = f"[{colour}]{line['light']}[/]"
        table.add_row(light, line["check"], line["found"], f"[dim]{line['remedy']}[/]")
    Console(stderr=True).print(table)


async def _ask(client: httpx.AsyncClient, url: str) -> dict[str, Any] | None:  # JSON
    try:
        answer = await client.get(url)
        content: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError):
        return None
    return content if answer.is_success else None


class _Notes:
    """What `run.json` says of a standby's machine."""

    def __init__(self, plan: StandbyPlan) -> None:
        self._plan = plan
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self.ready = False

    def write(self, supervisor: Supervisor) -> None:
        plan = self._plan

        def process(name: str) -> dict[str, object]:
            pid = supervisor.pid(name)
            return {"pid": None} if pid is None else running.identity(pid)

        running.write(
            plan.home,
            {
                **running.identity(os.getpid()),
                "since": self._since,
                "ready": self.ready,
                "broker": {"bootstrap_servers": plan.brokers_or_none(), "pid": None},
                "agents": [{"name": "agent", "url": plan.agent_url, **process("agent")}],
                "registries": [
                    {"name": plan.registry, "url": plan.registry_url, **process(plan.registry)}
                ],
                "collectors": [],
                "centrals": [{"name": plan.name, "url": plan.central_url, **process(plan.name)}],
                "traffic": {"pid": None},
            },
        )


def _say(sentence: str) -> None:
    typer.echo(sentence, err=True)

"""`steadflow status` and `down`: what runs in a home, and its end."""

import contextlib
import json
import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from cli import running
from cli.certificate import sentence_of
from cli.cluster_client import ClusterClient, ClusterError, urls_of
from cli.home import default_home
from cli.terminal import fail
from shared.plain_http import PLAIN_HTTP

NOTHING_RUNS = 3
"""Exit code of `status` and `down` when there is nothing."""
STOP_TIMEOUT_S = 120.0
_ASK_TIMEOUT_S = 5.0
_HOME_HELP = "Folder given to `steadflow up`."


def status(
    home: Annotated[Path | None, typer.Option(help=_HOME_HELP)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")] = False,
) -> None:
    """Say what runs, where it listens and whether it is ready."""
    print_status((home or default_home()).absolute(), as_json=as_json)


def down(home: Annotated[Path | None, typer.Option(help=_HOME_HELP)] = None) -> None:
    """Stop what `steadflow up` started, and wait until it has ended."""
    folder = (home or default_home()).absolute()
    facts = running.read(folder)
    if not running.is_held(folder) or facts is None:
        fail(f"nothing runs in {folder}", code=NOTHING_RUNS)
    stop(folder)
    typer.echo("stopped")


def stop(folder: Path) -> None:
    """Stop what runs in `folder`, and wait until it has ended."""
    facts = running.read(folder)
    if facts is None:
        return
    pid = int(facts["pid"])
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    if not running.wait_released(folder, STOP_TIMEOUT_S, sleep=time.sleep):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        running.wait_released(folder, STOP_TIMEOUT_S, sleep=time.sleep)
    # The lock is given back a moment before the launcher itself has ended.
    running.end_leftovers(facts)


def print_status(home: Path, *, as_json: bool) -> None:
    """Print what runs in `home`; ends the command with code 3 when nothing does."""
    facts = gather(home)
    if as_json:
        json.dump(facts, sys.stdout, indent=2)
        sys.stdout.write("\n")
    elif facts["running"]:
        _print_table(facts)
    if not facts["running"]:
        fail(f"nothing runs in {home}", code=NOTHING_RUNS)


def gather(home: Path) -> dict[str, Any]:  # JSON
    """Return what runs in `home`, asking the services themselves."""
    noted = running.read(home) if running.is_held(home) else None
    if noted is None:
        return {"running": False, "home": str(home), "broker": None, "certificate": ""} | {
            name: [] for name in ("registries", "collectors", "centrals", "agents")
        }
    primary = None
    with (
        contextlib.suppress(ClusterError),
        ClusterClient(urls_of(home), timeout_s=_ASK_TIMEOUT_S) as cluster,
    ):
        primary = cluster.view()["primary"]
    with httpx.Client(timeout=_ASK_TIMEOUT_S, trust_env=False, verify=PLAIN_HTTP) as client:
        collectors = [_collector(client, collector) for collector in noted["collectors"]]
        registries = [_with_ready(client, registry) for registry in noted["registries"]]
        centrals = [_with_ready(client, central) for central in noted["centrals"]]
        agents = [_agent(client, agent) for agent in noted.get("agents", [])]
    return {
        "running": True,
        "ready": noted["ready"],
        "waits": noted.get("waits", ""),
        "home": str(home),
        "pid": noted["pid"],
        "since": noted["since"],
        "primary": primary,
        "broker": _plain(noted["broker"]),
        "registries": registries,
        "collectors": collectors,
        "centrals": centrals,
        "agents": agents,
        "traffic": _plain(noted["traffic"]),
        "certificate": sentence_of(home, datetime.now(UTC)),
    }


def _collector(client: httpx.Client, noted: dict[str, Any]) -> dict[str, Any]:
    """Add what only its holder knows: a collector's processes, and which primary it knows."""
    primary: dict[str, Any] | None = None
    processes: list[dict[str, Any]] = [{"role": "holder", "worker": None, "pid": noted["pid"]}]
    with contextlib.suppress(httpx.HTTPError, ValueError, KeyError, TypeError):
        answer = client.get(f"{noted['url']}/api/v1/status").raise_for_status().json()
        primary = answer.get("primary")
        for worker in answer["workers"]:
            for role in ("receiver", "decoder"):
                pid = worker[f"{role}_pid"]
                processes.append({"role": role, "worker": worker["worker"], "pid": pid})
    pids = [process["pid"] for process in processes if process["pid"] is not None]
    own = {"pids": pids, "processes": processes, "primary": primary}
    return _with_ready(client, noted) | own


def _agent(client: httpx.Client, noted: dict[str, Any]) -> dict[str, Any]:
    """Add how far the agent of a standby is, and its last checks."""
    join: dict[str, Any] | None = None
    with contextlib.suppress(httpx.HTTPError, ValueError):
        join = client.get(f"{noted['url']}/api/v1/join").raise_for_status().json()
    return _with_ready(client, noted) | {"join": join}


def _with_ready(client: httpx.Client, noted: dict[str, Any]) -> dict[str, Any]:
    ready = False
    with contextlib.suppress(httpx.HTTPError):
        ready = client.get(f"{noted['url']}/health/ready").status_code == httpx.codes.OK
    return {**_plain(noted), "ready": ready}


def _plain(noted: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in noted.items() if name != "started_at"}


def _print_table(facts: dict[str, Any]) -> None:
    table = Table(
        title=f"steadflow in {facts['home']}\nsince {facts['since']}", title_justify="left"
    )
    for column in ("part", "ready", "listens on", "pid"):
        table.add_column(column)
    broker = facts["broker"]
    table.add_row("Kafka", "", broker["bootstrap_servers"], _pid(broker["pid"]))
    for collector in facts["collectors"]:
        places = f"UDP {collector['udp']}, {collector['url']}"
        pids = ", ".join(map(str, collector["pids"]))
        table.add_row(collector["name"], _yes(collector["ready"]), places, pids)
    for each in (*facts["centrals"], *facts["registries"], *facts["agents"]):
        name = each["name"] + (", primary" if each["name"] == facts["primary"] else "")
        table.add_row(name, _yes(each["ready"]), each["url"], _pid(each["pid"]))
    if facts["traffic"]["pid"] is not None:
        table.add_row("sample traffic", "", "", _pid(facts["traffic"]["pid"]))
    console = Console()
    console.print(table)
    if facts["waits"]:
        console.print(facts["waits"], soft_wrap=True, markup=False)
    # No column of its own: addresses would no longer fit a terminal.
    for collector in facts["collectors"]:
        console.print(f"{collector['name']} {_knows(collector['primary'])}", soft_wrap=True)
    if facts["certificate"]:
        console.print(facts["certificate"], soft_wrap=True, markup=False)
    for agent in facts["agents"]:
        if agent["join"] is not None:
            for line in told(agent["join"]):
                console.print(line, soft_wrap=True, markup=False)


def told(join: dict[str, Any]) -> list[str]:
    """Return how far a join is, and of its checks what is not green, a line each."""
    lines = [f"{join['name']}: {join['says']}"]
    lines += [f"  {why}" for why in (join["again"], join["problem"]) if why]
    for each in join["lines"]:
        if each["light"] != "green":
            remedy = f" ({each['remedy']})" if each["remedy"] else ""
            lines.append(f"  {each['light']}: {each['check']}: {each['found']}{remedy}")
    return lines


def _yes(ready: bool) -> str:
    return "yes" if ready else "no"


def _knows(primary: dict[str, Any] | None) -> str:
    if primary is None:
        return "knows no primary"
    return f"knows {primary['node']} as the primary, epoch {primary['epoch']}"


def _pid(pid: int | None) -> str:
    return "-" if pid is None else str(pid)

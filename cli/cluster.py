"""`steadflow cluster` and its like: who is primary, what happened, and what a person decides."""

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cli import running
from cli.cluster_client import ClusterClient, ClusterError, Json, urls_of
from cli.home import default_home
from cli.status import NOTHING_RUNS
from cli.terminal import fail, format_bytes
from shared.roles.history import Entry, problems
from shared.token import TokenError, read_token

Home = Annotated[Path | None, typer.Option(help="Folder given to `steadflow up`.")]
Url = Annotated[str | None, typer.Option(help="Ask the registry or central at this URL instead.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
_TOLD = ("ha.log", "__transaction_state")
Node = Annotated[str, typer.Argument(help="Which central; default: the best one.")]


def cluster(home: Home = None, url: Url = None, as_json: AsJson = False) -> None:
    """Say who is primary, how far each central is, and what the last takeover took."""
    try:
        with _client(home, url) as client:
            view = client.view()
            view["brokers"] = _brokers(client)
    except ClusterError as error:
        fail(str(error))
    # Whoever is asked by URL may run anywhere.
    pids = {} if url is not None else _pids(_folder(home))
    view["nodes"] = [{**node, "pid": pids.get(node["name"])} for node in view["nodes"]]
    if as_json:
        _print_json(view)
        return
    console = Console()
    console.print(_headline(view), soft_wrap=True)
    console.print(_table(view))
    for line in (*notes(view, datetime.now(UTC)), *broker_notes(view["brokers"])):
        console.print(line, soft_wrap=True)


def _brokers(client: ClusterClient) -> Json:
    """Return Kafka's machines; nothing where a registry or an older central was asked."""
    try:
        return client.brokers()
    except ClusterError:
        return {"machines": [], "survives": [], "owed": None, "problem": "", "risks": []}


def broker_notes(brokers: Mapping[str, Any]) -> list[str]:
    """Return where the log is, what losing a machine does, and what is owed to it."""
    # An older central knows of no risks.
    risks = [f"your Kafka: {each}" for each in brokers.get("risks", ())]
    if not brokers["machines"]:
        away = [f"Kafka's machines: {brokers['problem']}"] if brokers["problem"] else []
        return risks + away + list(brokers["survives"])
    lines = []
    for each in brokers["machines"]:
        vote = "votes" if each["votes"] else "does not vote"
        state = "" if each["is_alive"] else ", does not answer"
        led = ", ".join(name for name in each["leads"] if name in _TOLD)
        leads = f", leads {led}" if led else ""
        copies = f"{each['in_sync']} of {brokers['partitions']} partitions"
        # An older central knows of no sites.
        site = f" ({each['site']})" if each.get("site") else ""
        lines.append(
            f"log: {each['machine']}{site} has {copies}{_disk(each)}, {vote}{leads}{state}"
        )
    if brokers["owed"]:
        lines.append(f"next: {brokers['owed']}")
    if brokers["problem"]:
        lines.append(f"not done: {brokers['problem']}")
    return lines + list(brokers["survives"])


def _disk(machine: Mapping[str, Any]) -> str:
    held, free = machine.get("log_bytes"), machine.get("disk_free_bytes")
    if held is None or free is None:
        return ""
    return f" ({format_bytes(held)}, {format_bytes(free)} free)"


def switchover(
    node: Node = "", home: Home = None, url: Url = None, as_json: AsJson = False
) -> None:
    """Have the primary hand its role over to another central that is up to date."""
    _take_role("switchover", node, home, url, as_json)


def failover(
    node: Node = "",
    home: Home = None,
    url: Url = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask about one that would not be chosen by itself.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Name a primary where none lives, though the cluster is paused or the central lags.

    What speaks against the central that is named is said: on a terminal before it is taken.
    """
    if node and not yes and sys.stdin.isatty():
        _confirm(node, home, url)
    _take_role("failover", node, home, url, as_json)


def pause(home: Home = None, url: Url = None, as_json: AsJson = False) -> None:
    """Replace no primary from now on, dead or alive, but by a person."""
    answer = _change("pause", None, home, url)
    if as_json:
        _print_json(answer)
        return
    typer.echo("paused: nobody is replaced by itself until `steadflow resume`")


def resume(home: Home = None, url: Url = None, as_json: AsJson = False) -> None:
    """Replace a dead primary by itself again."""
    answer = _change("resume", None, home, url)
    if as_json:
        _print_json(answer)
        return
    typer.echo("resumed: a dead primary is replaced by itself")


def history(
    home: Home = None,
    url: Url = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check that no decision was changed or taken out.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print every decision about roles, oldest first."""
    try:
        with _client(home, url) as client:
            entries: list[Entry] = client.history()["entries"]
    except ClusterError as error:
        fail(str(error))
    found = list(problems(entries)) if verify else []
    if as_json:
        _print_json({"entries": entries, "problems": found})
    else:
        _print_history(entries)
    if found:
        fail(f"the history was changed: {found[0]}" + _and_more(len(found) - 1))
    if verify and not as_json:
        typer.echo(f"verified: {len(entries)} entries, none changed, none missing between them")


def notes(view: Mapping[str, Any], now: datetime) -> list[str]:
    """Return what is worth a line below the nodes: the last takeover, who cannot, alarms."""
    lines = []
    if (last := last_takeover(view, now)) is not None:
        lines.append(last)
    alarms = [f"alarm: {alarm}" for alarm in view["alarms"]]
    # A registry's alarm says it too, where nobody else is left.
    said = " ".join(alarms)
    lines += [node["problem"] for node in view["nodes"] if node["problem"] not in said]
    return lines + alarms


def last_takeover(view: Mapping[str, Any], now: datetime) -> str | None:
    """Return who took over when, why, and for how long nobody acted; None before the first."""
    last = view["last_takeover"]
    if last is None:
        return None
    is_held = last["epoch"] == view["epoch"] and view["primary"] is not None
    who = view["primary"] if is_held else "a central"
    ago = age((now - datetime.fromisoformat(last["at"])).total_seconds())
    return f"{who} took over {ago} ago: {last['reason']}; nobody acted for {last['seconds']:.2f} s"


def age(seconds: float) -> str:
    """Return a duration as people say it: `2 min`."""
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _take_role(what: str, node: str, home: Path | None, url: str | None, as_json: bool) -> None:
    answer = _change(what, {"to": node}, home, url)
    # An older registry warns of nothing.
    if warning := answer.get("warning"):
        typer.echo(f"warning: {warning}", err=True)
    if as_json:
        _print_json(answer)
        return
    typer.echo(
        f"{answer['to']} is primary after {answer['seconds']:.2f} s, epoch {answer['epoch']}"
        + (f"; before it was {answer['from']}" if answer["from"] else "")
    )


def _confirm(node: str, home: Path | None, url: str | None) -> None:
    """Ask a person whether to take a central that would not be chosen by itself."""
    try:
        with _client(home, url) as client:
            view = client.view()
    except ClusterError as error:
        fail(f"{error}; --yes asks nothing")
    if why := doubt(view, node):
        typer.confirm(f"{why}. Take it all the same?", abort=True, err=True)


def doubt(view: Mapping[str, Any], node: str) -> str:
    """Return what speaks against a standby; empty for others, which are refused or fine."""
    for each in view["nodes"]:
        if each["name"] == node and each["role"] == "standby":
            return str(each["problem"])
    return ""


def _change(what: str, body: Mapping[str, str] | None, home: Path | None, url: str | None) -> Json:
    try:
        token = read_token(_folder(home) / "token")
        with _client(home, url, token) as client:
            return client.change(what, body)
    except (ClusterError, TokenError) as error:
        fail(str(error))


def _client(home: Path | None, url: str | None, token: str = "") -> ClusterClient:
    urls = [url] if url is not None else urls_of(_folder(home))
    if not urls:
        fail(f"nothing runs in {_folder(home)}", code=NOTHING_RUNS)
    return ClusterClient(urls, token=token)


def _folder(home: Path | None) -> Path:
    return (home or default_home()).absolute()


def _pids(home: Path) -> dict[str, int | None]:
    noted = running.read(home) or {"centrals": []}
    return {central["name"]: central["pid"] for central in noted["centrals"]}


def _headline(view: Mapping[str, Any]) -> str:
    paused = "; paused: nobody is replaced by itself" if view["paused"] else ""
    if view["primary"] is None:
        return f"nobody is primary: {view['standing']}{paused}"
    since = datetime.fromisoformat(view["since"]).astimezone()
    held = f"primary since {since:%Y-%m-%d %H:%M:%S}, epoch {view['epoch']}"
    return f"{view['primary']} is {held}{paused}"


def _table(view: Mapping[str, Any]) -> Table:
    table = Table()
    for column in ("central", "role", "behind", "listens on", "pid"):
        table.add_column(column, overflow="fold")
    for node in view["nodes"]:
        pid = "-" if node["pid"] is None else str(node["pid"])
        table.add_row(node["name"], node["role"], _behind(node), node["url"], pid)
    return table


def _behind(node: Mapping[str, Any]) -> str:
    if node["lag_s"] is None:
        return "unknown"
    messages = "" if node["lag_records"] is None else f", {node['lag_records']:,} messages"
    return f"{node['lag_s']:.1f} s{messages}"


def _print_history(entries: list[Entry]) -> None:
    table = Table()
    for column in ("time", "what", "who", "epoch"):
        table.add_column(column, overflow="fold")
    for entry in entries:
        at = datetime.fromtimestamp(int(entry["at_ms"]) / 1000).astimezone()
        what, who, epoch = told(entry)
        table.add_row(f"{at:%Y-%m-%d %H:%M:%S}", what, who, epoch)
    Console().print(table)


def told(entry: Entry) -> tuple[str, str, str]:
    """Return what was decided, about whom, and the epoch that it began, as text."""
    match entry["is"]:
        case "claim":
            return f"claim: {entry['reason']}", f"{entry['incarnation']}", str(entry["offset"])
        case "acts":
            took = "" if entry["took_s"] is None else f", nobody acted for {entry['took_s']:.2f} s"
            return f"acts: {entry['reason']}{took}", str(entry["primary"]), str(entry["offset"])
        case "death":
            return f"seen to end by {entry['seen_by']}", str(entry["incarnation"]), ""
        case "departure":
            return f"left for good, through {entry['by']}", str(entry["node"]), ""
        case "handover":
            return f"hands over to {entry['to']}", str(entry["incarnation"]), ""
        case "request":
            return f"switchover asked of {entry['by']}", str(entry["to"] or "the best"), ""
        case "config":
            paused = "paused" if entry["is_paused"] else "not paused"
            what = (
                f"policy: {paused}, dead after {entry['dead_ticks']} ticks of "
                f"{entry['period_ms']} ms"
            )
            return what, str(entry["by"]), ""
        case other:
            return str(other), "", ""


def _and_more(count: int) -> str:
    return f", and {count} more" if count else ""


def _print_json(content: object) -> None:
    json.dump(content, sys.stdout, indent=2)
    sys.stdout.write("\n")

"""`steadflow drill`: a takeover on purpose, checked with live counts, and its report."""

import asyncio
import contextlib
import json
import secrets
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from rich.console import Console
from rich.table import Table

from cli import running
from cli.central_urls import central_urls, context_for
from cli.client import Asker, AskError, find_centrals, reading_token
from cli.home import default_home
from cli.status import NOTHING_RUNS
from cli.terminal import fail
from shared.drill import (
    PROMISED_S,
    Drill,
    DrillError,
    Kind,
    Verdict,
    checks,
    is_slow,
    report_json,
    verdict,
)
from shared.drill_page import drill_page
from shared.drill_run import DrillCluster, kind_problem, run_drill
from shared.tls import TlsError
from shared.token import TokenError, read_token

RUN_BY = "command line"

Json = dict[str, Any]  # Any: JSON
Home = Annotated[Path | None, typer.Option(help="Folder given to `steadflow up`.")]
Kill = Annotated[
    bool,
    typer.Option("--kill", help="Kill the primary's process, on this machine, as a crash would."),
]
Yes = Annotated[bool, typer.Option("--yes", help="With --kill: ask nothing.")]
List = Annotated[bool, typer.Option("--list", help="Run none; list the reports that are kept.")]
Page = Annotated[Path | None, typer.Option(help="Write the report to this HTML file as well.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


def drill(
    kill: Kill = False,
    yes: Yes = False,
    list_them: List = False,
    page: Page = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Take the role from the primary on purpose, and prove that nothing is lost.

    A planned switchover, or with --kill a crash. Counting goes on; the report is kept and listed on
    the Failover page. Exits 1 when a promise was broken.
    """
    folder = (home or default_home()).absolute()
    if not running.is_held(folder):
        fail(f"nothing runs in {folder}", code=NOTHING_RUNS)
    try:
        if list_them:
            _list(_ask(folder, "drills")["rows"], as_json=as_json)
            return
        ran = _run(folder, Kind.KILL if kill else Kind.SWITCHOVER, asks=not yes)
    except (AskError, DrillError, TlsError, TokenError) as error:
        fail(str(error))
    if page is not None:
        page.write_text(drill_page(ran, _now_ms()))
    _print(ran, as_json=as_json)
    if verdict(ran, _now_ms()) is not Verdict.PASSED:
        raise typer.Exit(1)


def _run(home: Path, kind: Kind, *, asks: bool) -> Drill:
    noted = find_centrals(home)
    view = _ask(home, "cluster")
    if problem := kind_problem(view, kind):
        raise DrillError(problem)
    if kind is Kind.KILL:
        _process(home, str(view["primary"]))
        warning = f"This kills the process of {view['primary']}, the primary, for real."
        if asks and sys.stdin.isatty():
            typer.confirm(f"{warning} Go on?", abort=True, err=True)
        else:
            typer.echo(warning, err=True)
    centrals = central_urls(view["nodes"], noted)
    begun = Drill(secrets.token_hex(8), kind, RUN_BY, _now_ms())
    return asyncio.run(_run_over(home, begun, centrals, str(view["primary"])))


async def _run_over(home: Path, begun: Drill, centrals: Mapping[str, str], primary: str) -> Drill:
    token = read_token(home / "token")
    tls = context_for(home, centrals.values())
    async with DrillCluster(centrals, token=token, tls=tls) as cluster:

        async def kill() -> None:
            with contextlib.suppress(psutil.NoSuchProcess):
                _process(home, primary).kill()

        await cluster.note(begun)
        act = kill if begun.kind is Kind.KILL else cluster.switch_over
        with Console(stderr=True).status("drilling: waiting until all centrals are equal again"):
            return await run_drill(begun, cluster, act, now_ms=_now_ms)


def _process(home: Path, central: str) -> psutil.Process:
    """Return the process of a central. Raises DrillError where it is not of this machine."""
    for noted in (running.read(home) or {}).get("centrals", ()):
        process = running.find(noted)
        if noted["name"] == central and process is not None:
            return process
    raise DrillError(f"{central} does not run on this machine: it cannot be killed from here")


def _ask(home: Path, path: str) -> Json:
    """Return the first answer. Raises AskError."""
    said = AskError("no central answers")
    with Asker(token=reading_token(home, None)) as asker:
        for central in find_centrals(home):
            try:
                content: Json = asker.get(central, path)
            except AskError as error:
                said = error
            else:
                return content
    raise said


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _print(ran: Drill, *, as_json: bool) -> None:
    if as_json:
        _print_json(report_of(ran))
        return
    console = Console()
    table = Table()
    for column in ("promise", "", "found"):
        table.add_column(column, overflow="fold")
    for each in checks(ran):
        table.add_row(each.promise, "kept" if each.is_kept else "BROKEN", each.found)
    if table.row_count:
        console.print(table)
    for line in told(ran):
        console.print(line, soft_wrap=True)


def report_of(ran: Drill) -> Json:
    """Return the report as the API tells it."""
    return report_json(ran, _now_ms())


def told(ran: Drill) -> list[str]:
    """Return what is said below the promises."""
    lines = [ran.error] if ran.error else []
    word = verdict(ran, ran.ended_ms).value.upper()
    if ran.rto_s is None or ran.lost is None or ran.after is None:
        return [*lines, f"{word}: drill {ran.id}"]
    slow = f", longer than the {PROMISED_S:g} s of 99 in 100" if is_slow(ran) else ""
    return [
        *lines,
        f"{word}: {ran.after.primary} took over; nobody acted for {ran.rto_s:.2f} s{slow}; "
        f"{ran.lost:,} records lost; drill {ran.id}",
    ]


def _list(rows: list[Json], *, as_json: bool) -> None:
    if as_json:
        _print_json({"rows": rows})
        return
    table = Table()
    for column in ("time", "drill", "kind", "result", "nobody acted for", "records lost"):
        table.add_column(column, overflow="fold")
    for row in rows:
        at = datetime.fromtimestamp(int(row["started_ms"]) / 1000).astimezone()
        rto = "-" if row["rto_s"] is None else f"{row['rto_s']:.2f} s"
        lost = "-" if row["records_lost"] is None else f"{row['records_lost']:,}"
        table.add_row(f"{at:%Y-%m-%d %H:%M:%S}", row["id"], row["kind"], row["verdict"], rto, lost)
    Console().print(table)


def _print_json(content: object) -> None:
    json.dump(content, sys.stdout, indent=2)
    sys.stdout.write("\n")

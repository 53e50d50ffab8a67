"""`steadflow audit`: who changed what, and who logged in."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.owner import answer_for_owner
from cli.user import local_time


def audit(
    home: Annotated[Path | None, typer.Option(help="Folder given to `steadflow up`.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=2000, help="The newest so many.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """Print who changed what and who logged in, the newest last."""
    answer = answer_for_owner(home, "GET", "audit", parameters={"limit": str(limit)})
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
        return
    table = Table()
    for column in ("time", "who", "from", "what", "result"):
        table.add_column(column, overflow="fold")
    for row in reversed(answer["rows"]):
        times = f", {row['count']} times" if row["count"] > 1 else ""
        what = " ".join(filter(None, [row["what"] + times, row["request"], row["facts"]]))
        result = "done" if row["status"] < 400 else str(row["status"])
        table.add_row(local_time(row["at"]), row["by"], row["address"], what, result)
    Console().print(table)

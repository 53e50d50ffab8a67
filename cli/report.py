"""`steadflow report ...`: the reports of a central in the terminal."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cli.client import Asker, AskError, Parameters, choose_central, reading_token
from cli.home import default_home
from cli.terminal import fail, format_bytes

report = typer.Typer(
    help="Ask a central what it counted.", no_args_is_help=True, add_completion=False
)

Home = Annotated[Path | None, typer.Option(help="Home of the running system.")]
Central = Annotated[str | None, typer.Option(help="Which central to ask; default: the first.")]
Url = Annotated[str | None, typer.Option(help="Ask the central at this URL instead.")]
From = Annotated[str | None, typer.Option("--from", help="First instant: RFC 3339, or -6h.")]
To = Annotated[str | None, typer.Option("--to", help="First instant no more: RFC 3339, -5m, now.")]
Last = Annotated[str | None, typer.Option(help="Instead of --from and --to: 30s, 15m, 6h or 7d.")]
Where = Annotated[
    list[str] | None,
    typer.Option(help="Filter NAME=VALUE, as dst_port=443; again for more, or more values."),
]
Metric = Annotated[str, typer.Option(help="bytes, packets or flows.")]
Columns = Annotated[
    str | None,
    typer.Option(help="NAME,NAME,...; default: the most important ones that fit the terminal."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the API's answer as it is.")]

_SAID_BELOW = frozenset({"from", "to", "source", "notes", "next"})
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")
_COUNTED = ("flows", "packets", "datagrams", "records")
_FIRST = (
    "src_addr", "dst_addr", "dst_port", "protocol", "bytes", "packets", "ended_at", "src_port",
    "exporter", "in_if", "out_if", "tcp_flags", "tos", "src_as", "dst_as",
)  # fmt: skip
"""Columns of a flow record by importance."""
_CELLS_MAX = 16
"""Longer values (IPv6 addresses) take more lines rather than push a column out."""
_GAP_CELLS, _EDGE_CELLS = 2, 1
WIDTH_OF_A_FILE = 1000
"""Nothing is left out where no terminal's width asks for it."""
_LAST_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class Place:
    """Whom to ask and how to print the answer."""

    home: Path | None
    central: str | None
    url: str | None
    as_json: bool
    columns: str | None = None


class QuestionError(ValueError):
    """An option with nonsense; the text is one sentence."""


def period(start: str | None, end: str | None, last: str | None, now: datetime) -> Parameters:
    """Return `from` and `to` as the API takes them. Raises QuestionError."""
    if last is None:
        return {k: v for k, v in (("from", start), ("to", end)) if v is not None}
    if start is not None or end is not None:
        raise QuestionError("Give --last, or --from and --to, not both.")
    unit = _LAST_UNITS.get(last[-1:])
    if unit is None or not last[:-1].isascii() or not last[:-1].isdigit() or int(last[:-1]) == 0:
        raise QuestionError(f"--last {last}: say 30s, 15m, 6h or 7d.")
    try:
        begin = now - timedelta(**{unit: int(last[:-1])})
    except OverflowError as error:
        raise QuestionError(f"--last {last} reaches back before the calendar begins.") from error
    return {"from": rfc3339(begin), "to": rfc3339(now)}


def filters(where: Sequence[str] | None) -> Parameters:
    """Return `--where NAME=VALUE` as query parameters. Raises QuestionError."""
    found: dict[str, list[str]] = {}
    for text in where or ():
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise QuestionError(f"--where {text}: say NAME=VALUE.")
        found.setdefault(name, []).append(value)
    return dict(found)


def rfc3339(instant: datetime) -> str:
    """Return an instant in UTC with milliseconds: `2026-03-02T14:30:00.000Z`."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@report.command()
def totals(
    home: Home = None, central: Central = None, url: Url = None,
    start: From = None, end: To = None, last: Last = None, where: Where = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Flows, bytes and packets of a period."""
    place = Place(home, central, url, as_json)
    _show(place, "totals", _question(start, end, last, where), "totals")


@report.command()
def top(
    by: Annotated[str, typer.Option(help="What to group by, for example src_addr.")] = "src_addr",
    metric: Metric = "bytes",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Rows.")] = 10,
    home: Home = None, central: Central = None, url: Url = None,
    start: From = None, end: To = None, last: Last = None, where: Where = None,
    columns: Columns = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """The largest of something: hosts, ports, interfaces, ASes."""
    question = _question(start, end, last, where) | {"by": by, "metric": metric, "limit": limit}
    _show(
        Place(home, central, url, as_json, columns),
        "reports/top",
        question,
        f"top {by} by {metric}",
    )


@report.command()
def timeseries(
    step: Annotated[str, typer.Option(help="Seconds of one point, a multiple of 60.")] = "60",
    metric: Metric = "bytes",
    home: Home = None, central: Central = None, url: Url = None,
    start: From = None, end: To = None, last: Last = None, where: Where = None,
    columns: Columns = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """One point per step."""
    question = _question(start, end, last, where) | {"step": step, "metric": metric}
    _show(Place(home, central, url, as_json, columns), "reports/timeseries", question, "timeseries")


@report.command()
def exporters(
    home: Home = None, central: Central = None, url: Url = None,
    start: From = None, end: To = None, last: Last = None,
    columns: Columns = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Every exporter with its flows, bytes and packets."""
    question = _question(start, end, last, None)
    _show(Place(home, central, url, as_json, columns), "exporters", question, "exporters")


@report.command()
def interfaces(
    home: Home = None, central: Central = None, url: Url = None,
    start: From = None, end: To = None, last: Last = None, where: Where = None,
    columns: Columns = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Every interface with what came in and went out."""
    question = _question(start, end, last, where)
    _show(Place(home, central, url, as_json, columns), "interfaces", question, "interfaces")


@report.command()
def flows(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Rows of a page.")] = 20,
    cursor: Annotated[str | None, typer.Option(help="Where the page before ended.")] = None,
    home: Home = None, central: Central = None, url: Url = None,
    start: From = None, end: To = None, last: Last = None, where: Where = None,
    columns: Columns = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Flow records as the exporters sent them, newest first."""
    question = _question(start, end, last, where) | {"limit": limit}
    if cursor is not None:
        question["cursor"] = cursor
    _show(Place(home, central, url, as_json, columns), "flows", question, "flows")


@report.command()
def losses(
    home: Home = None, central: Central = None, url: Url = None,
    start: From = None, end: To = None, last: Last = None, where: Where = None,
    columns: Columns = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """What was lost: where, when, of which exporter and why."""
    question = _question(start, end, last, where)
    _show(Place(home, central, url, as_json, columns), "losses", question, "losses")


@report.command()
def streams(
    home: Home = None,
    central: Central = None,
    url: Url = None,
    columns: Columns = None,
    as_json: AsJson = False,
) -> None:
    """Every life of a receiver, and how far it is counted and closed."""
    _show(Place(home, central, url, as_json, columns), "streams", {}, "streams")


@report.command()
def positions(
    home: Home = None,
    central: Central = None,
    url: Url = None,
    columns: Columns = None,
    as_json: AsJson = False,
) -> None:
    """How far the central has read each partition, and its lag."""
    _show(Place(home, central, url, as_json, columns), "positions", {}, "positions")


def _question(
    start: str | None, end: str | None, last: str | None, where: Sequence[str] | None
) -> Parameters:
    try:
        return period(start, end, last, datetime.now(UTC)) | filters(where)
    except QuestionError as error:
        fail(str(error), code=2)


def _show(place: Place, path: str, question: Parameters, title: str) -> None:
    try:
        home = place.home or default_home()
        central = choose_central(home, place.central, place.url)
        with Asker(token=reading_token(home, place.url)) as asker:
            answer = asker.get(central, path, question)
    except AskError as error:
        fail(str(error))
    if place.as_json:
        json.dump(answer, sys.stdout)
        sys.stdout.write("\n")
        return
    try:
        _print(answer, title, central.name, place.columns)
    except QuestionError as error:
        fail(str(error), code=2)


def _print(
    answer: dict[str, Any], title: str, central: str, columns: str | None
) -> None:  # JSON of any report
    facts, rows = rows_of(answer)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_OF_A_FILE)
    if rows:
        names = choose_columns(rows, columns, console.width)
        console.print(as_table(rows, names, f"{title} ({central})"))
        if columns is None and (more := [n for n in _names(rows) if n not in names]):
            console.print(f"with --columns also: {', '.join(more)}", style="dim")
    elif "rows" in answer:
        console.print(f"{central} has no {title} in that period.")
    for name, value in facts.items():
        console.print(f"{name}: {show_value(name, value)}")
    for reason, lost in (answer.get("losses") or {}).items():
        console.print(f"lost, {reason}: {lost['datagrams']:,} datagrams, {lost['flows']:,} flows")
    if answer.get("from"):
        start, end = (show_value(edge, answer[edge]) for edge in ("from", "to"))
        console.print(f"{start} to {end} UTC, from {answer['source']}", style="dim")
    for note in answer.get("notes") or ():
        console.print(note, style="dim")
    if answer.get("next"):
        console.print(f"the next page: --cursor {answer['next']}", style="dim", soft_wrap=True)


def rows_of(answer: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:  # JSON
    """Split an answer into its single facts and its rows; what every answer says is neither."""
    facts = {
        name: value
        for name, value in answer.items()
        if name not in _SAID_BELOW and not isinstance(value, dict | list)
    }
    return facts, answer.get("rows", [])


def choose_columns(rows: Sequence[Mapping[str, Any]], wanted: str | None, width: int) -> list[str]:
    """Return the columns that were asked for, else the first important ones that fit `width`.

    Raises QuestionError for a column that no row has.
    """
    if wanted is not None:
        known = list(dict.fromkeys(name for row in rows for name in row))
        names = [name.strip() for name in wanted.split(",") if name.strip()]
        for name in names:
            if name not in known:
                raise QuestionError(f"--columns {name}: is none of {', '.join(known)}.")
        return names or known
    chosen: list[str] = []
    width -= _EDGE_CELLS
    for name in _names(rows):
        cells = max(len(show_value(name, row.get(name))) for row in rows)
        width -= max(len(name), min(cells, _CELLS_MAX)) + _GAP_CELLS
        if width < 0 and chosen:
            break
        chosen.append(name)
    return chosen


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the columns that say something, the most important first."""
    names = [
        name
        for name in dict.fromkeys(name for row in rows for name in row)
        if any(row.get(name) is not None for row in rows)
        # Without sampling the scaled counts repeat the others.
        and not (name.endswith("_scaled") and _repeats(rows, name))
    ]
    rank = {name: place for place, name in enumerate(_FIRST)}
    # Only flow records have so many columns that their own order does not do.
    return sorted(names, key=lambda n: rank.get(n, len(rank))) if "src_addr" in names else names


def _repeats(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    return all(row.get(name) == row.get(name.removesuffix("_scaled")) for row in rows)


def as_table(rows: Sequence[Mapping[str, Any]], names: Sequence[str], title: str) -> Table:
    """Return the columns `names` of `rows` as a table."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in names:
        is_number = all(isinstance(row.get(name), int | float | None) for row in rows)
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(show_value(name, row.get(name)) for name in names))
    return table


def show_value(name: str, value: Any) -> str:  # one JSON value
    """Return a value with the unit its name says."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        if "bytes" in name:
            return format_bytes(value)
        if name.removesuffix("_scaled").endswith(_COUNTED):
            return f"{value:,}"
        return str(value)
    if isinstance(value, list) and all(isinstance(each, int | str) for each in value):
        return ", ".join(map(str, value))
    if isinstance(value, dict | list):
        return json.dumps(value)
    if _INSTANT.fullmatch(str(value)):
        return f"{value[:10]} {value[11:19]}"
    return str(value)

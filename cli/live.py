"""The live view of `steadflow demo`: both centrals side by side, from facts to a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.bar import Bar
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.terminal import format_bit_rate, format_bytes

TOP = 10
PATIENCE_S = 30.0
"""Centrals that differ for longer are said to differ."""
FLOWS_FROM_CELLS = 100
"""Narrower terminals show no flows of each host."""


@dataclass(frozen=True, slots=True)
class CentralView:
    """What one central says now.

    totals, settled: flows, bytes, packets of the whole demo, and of its minutes that are over;
    None while it does not answer. top: rows of the top talkers, some more than are drawn.
    lag_records: messages of the log that are not applied yet. is_primary: it has the role.
    """

    name: str
    totals: Mapping[str, int] | None = None
    settled: Mapping[str, int] | None = None
    top: Sequence[Mapping[str, Any]] = ()
    lag_records: int = 0
    is_primary: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """One moment of the demo.

    settled_until: end of the last minute that is over, as text. unequal_s: for how long the
    centrals have not been equal up to there; on a busy machine one is behind for a while.
    takeover: how the last one went, empty without one.
    """

    centrals: Sequence[CentralView]
    elapsed_s: float
    settled_until: str | None = None
    notes: Sequence[str] = field(default_factory=tuple)
    unequal_s: float = 0.0
    takeover: str = ""


def same(totals: Sequence[Mapping[str, int] | None]) -> bool:
    """Return whether all answered, with equal flows, bytes and packets."""
    answers = [
        None if each is None else tuple(each.get(name) for name in ("flows", "bytes", "packets"))
        for each in totals
    ]
    return bool(answers) and answers[0] is not None and len(set(answers)) == 1


def agree(view: View) -> bool:
    """Return whether there is nothing to compare yet, or all centrals are equal."""
    return view.settled_until is None or same([central.settled for central in view.centrals])


def verdict(view: View) -> Text:
    """Return the one line that compares the centrals."""
    settled = [central.settled for central in view.centrals]
    if view.settled_until is None:
        return Text("The first minute is not over yet: the centrals are counting.", style="dim")
    if any(each is None for each in settled):
        return Text("Not every central answers at the moment.", style="yellow")
    first = settled[0]
    if same(settled) and first is not None:
        flows, octets = first["flows"], format_bytes(first["bytes"])
        return Text(
            f"Equal: both count {flows:,} flows, {octets} until {view.settled_until}.",
            style="bold green",
        )
    counts = ", ".join(f"{c.name} {c.settled['flows']:,}" for c in view.centrals if c.settled)
    if view.unequal_s < PATIENCE_S:
        return Text(f"Catching up until {view.settled_until}: flows {counts}.", style="yellow")
    return Text(f"Not equal until {view.settled_until}: flows {counts}.", style="bold red")


def draw(view: View) -> RenderableType:
    """Return the picture of `view`."""
    return _Picture(view)


class _Picture:
    """A view as it fits the terminal: bars take the width that numbers and addresses leave."""

    def __init__(self, view: View) -> None:
        self._view = view

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        view = self._view
        yield _totals(view)
        with_flows = options.max_width >= FLOWS_FROM_CELLS
        yield Panel(_talkers(view.centrals, with_flows), title="top talkers", title_align="left")
        yield verdict(view)
        if view.takeover:
            yield Text(view.takeover, style="bold")
        for note in view.notes:
            yield Text(note, style="dim")


def _totals(view: View) -> Table:
    table = Table(box=None)
    table.add_column("")
    for name in ("flows", "bytes", "on average", "not yet counted"):
        table.add_column(name, justify="right", header_style="dim")
    for central in view.centrals:
        name = f"[bold]{central.name}" + ("[/], primary" if central.is_primary else "")
        if central.totals is None:
            table.add_row(name, "[yellow]does not answer")
            continue
        octets = central.totals["bytes"]
        table.add_row(
            name,
            f"{central.totals['flows']:,}",
            format_bytes(octets),
            format_bit_rate(octets, view.elapsed_s),
            f"{central.lag_records:,} messages",
        )
    return table


def _talkers(centrals: Sequence[CentralView], with_flows: bool) -> Table:
    """One row a host, as the first central that answers ranks them, each central with a column."""
    table = Table(expand=True, box=None, pad_edge=False, header_style="dim")
    table.add_column("host", no_wrap=True)
    for central in centrals:
        table.add_column(central.name, justify="right", no_wrap=True)
        if with_flows:
            table.add_column("flows", justify="right", no_wrap=True)
    table.add_column("", ratio=1)
    found = [{str(row["src_addr"]): row for row in central.top} for central in centrals]
    ranking = next((each for each in found if each), {})
    largest = max((int(row["bytes"]) for row in ranking.values()), default=0)
    for host, row in list(ranking.items())[:TOP]:
        cells = [cell for rows in found for cell in _cells(rows.get(host), with_flows)]
        table.add_row(host, *cells, Bar(max(largest, 1), 0, int(row["bytes"]), color="cyan"))
    return table


def _cells(row: Mapping[str, Any] | None, with_flows: bool) -> list[str]:
    if row is None:
        return ["-"] * (1 + with_flows)
    return [format_bytes(int(row["bytes"])), *([f"{int(row['flows']):,}"] if with_flows else [])]

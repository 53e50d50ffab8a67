"""What every command says to a person: sentences, units, tables; nothing here asks or decides."""

import sys
from typing import NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


def fail(sentence: str, *, code: int = 1) -> NoReturn:
    """End the command with one sentence on standard error and a non-zero exit code."""
    typer.echo(sentence, err=True)
    raise typer.Exit(code)


def format_count(count: float) -> str:
    """Return a count with thousands separators, or with k, M or G from a million on."""
    if abs(count) < 1_000_000:
        return f"{count:,.0f}"
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if abs(count) >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count:,.0f}"


def format_bytes(count: float) -> str:
    """Return bytes with a decimal unit: `12.3 MB`."""
    for unit, size in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(count) >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"


def format_bit_rate(bytes_count: float, seconds: float) -> str:
    """Return bytes over seconds as bits per second: `1.2 Mbit/s`."""
    rate = bytes_count * 8 / seconds if seconds > 0 else 0.0
    for unit, size in (("Tbit/s", 1e12), ("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3)):
        if rate >= size:
            return f"{rate / size:.1f} {unit}"
    return f"{rate:.0f} bit/s"


def progress_bar(what: str) -> Progress:
    """Return a bar on standard error; it stays silent where that is no terminal."""
    return Progress(
        TextColumn(what),
        BarColumn(),
        TextColumn("{task.fields[facts]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )

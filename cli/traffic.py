"""`steadflow traffic`: invented routers that export to a collector on this machine."""

import ipaddress
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, cast

import typer
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from cli.export import VERSIONS, ExporterProcess, Templates, Version, make_exporters
from cli.export import start_exporters as start
from cli.pacing import Pacer, settle, split
from cli.sending import EXPORTERS_MAX, Senders, Target, TargetError, loopback_address, parse_target
from cli.stopping import Stopped
from cli.terminal import fail, format_bytes, format_count, progress_bar

TICK_S = 0.05
HOLD_S = 0.5
"""A flow waits at most this long for its datagram to fill."""
FIRST_SOURCE = "127.0.1.1"
RATE_MAX = 1_000_000.0


@dataclass(slots=True)
class Counts:
    """What one exporter sent, or all of them."""

    flows: int = 0
    bytes: int = 0
    packets: int = 0
    datagrams: int = 0


@dataclass(slots=True)
class Sent:
    """What was sent, in all and by exporter address."""

    total: Counts = field(default_factory=Counts)
    versions: dict[str, str] = field(default_factory=dict)
    exporters: dict[str, Counts] = field(default_factory=dict)

    def by_exporter(self) -> list[tuple[str, Counts]]:
        """Return the exporters in the order of their addresses."""
        return sorted(self.exporters.items(), key=lambda item: ipaddress.ip_address(item[0]).packed)

    def as_json(self) -> dict[str, object]:
        """Return the facts with the names of `flow-record.md`."""
        return {
            **_fields(self.total),
            "exporters": {
                address: {"version": self.versions[address], **_fields(counts)}
                for address, counts in self.by_exporter()
            },
        }


@dataclass(slots=True)
class Office:
    """The exporters at work: what each owes, and sends when a datagram is full or has waited."""

    processes: list[ExporterProcess]
    send: Callable[[bytes, str], None]
    sent: Sent = field(default_factory=Sent)
    _debts: list[float] = field(default_factory=list)
    _shares: list[float] = field(default_factory=list)
    _held_since: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Give the first exporters the larger shares, as border routers have."""
        weights = [1.0 / (number + 1) ** 0.6 for number in range(len(self.processes))]
        self._shares = [weight / sum(weights) for weight in weights]
        self._debts = [0.0] * len(self.processes)
        # Spread over one hold time, so that exporters do not all speak at once.
        self._held_since = [
            HOLD_S * number / len(self.processes) for number in range(len(self.processes))
        ]

    def work(self, count: int, elapsed_s: float, now: datetime) -> None:
        """Owe `count` more flows; send what is due."""
        split(self._debts, count, self._shares)
        for index, process in enumerate(self.processes):
            whole = int(self._debts[index])
            held_s = elapsed_s - self._held_since[index]
            if whole >= process.flows_per_datagram or (whole and held_s >= HOLD_S):
                self._debts[index] -= whole
                self._held_since[index] = elapsed_s
                self._export(process, whole, now)

    def finish(self, now: datetime) -> None:
        """Send all that is still owed."""
        for process, whole in zip(self.processes, settle(self._debts), strict=True):
            if whole:
                self._export(process, whole, now)
        self._debts = [0.0] * len(self.processes)

    def _export(self, process: ExporterProcess, count: int, now: datetime) -> None:
        address = loopback_address(process.exporter.number, first=FIRST_SOURCE)
        counts = self.sent.exporters.setdefault(address, Counts())
        self.sent.versions[address] = process.exporter.version
        now_ms = int(now.timestamp() * 1000)
        for datagram in process.export(count, now_ms, now.hour + now.minute / 60):
            self.send(datagram.payload, address)
            for each in (counts, self.sent.total):
                each.flows += datagram.flows
                each.bytes += datagram.bytes
                each.packets += datagram.packets
                each.datagrams += 1


def traffic(
    to: Annotated[str, typer.Option(help="Collector, HOST:PORT, on loopback.")] = "127.0.0.1:2055",
    rate: Annotated[
        float, typer.Option(min=0.1, max=RATE_MAX, help="Flows per second of all exporters.")
    ] = 1000.0,
    duration: Annotated[
        float, typer.Option(min=0.0, help="Seconds; 0: until it is stopped.")
    ] = 0.0,
    exporters: Annotated[
        int, typer.Option(min=1, max=EXPORTERS_MAX, help="Routers, each with its own address.")
    ] = 12,
    seed: Annotated[int, typer.Option(min=0, help="The same seed invents the same network.")] = 1,
    versions: Annotated[
        str, typer.Option(help="Comma-separated, taken in turn: v5, v9, ipfix.")
    ] = "v5,v9,ipfix",
    templates: Annotated[
        str, typer.Option(help="When v9 and IPFIX send their templates: periodic or once.")
    ] = "periodic",
    as_json: Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")] = False,
) -> None:
    """Send realistic flow traffic to a collector and say exactly what was sent."""
    try:
        target = _loopback_target(to)
    except TargetError as error:
        fail(str(error), code=2)
    if templates not in ("once", "periodic"):
        fail(f"--templates {templates}: say once or periodic.", code=2)
    now_ms = int(datetime.now().astimezone().timestamp() * 1000)
    processes = start(
        make_exporters(exporters, _versions(versions), seed=seed, now_ms=now_ms),
        seed=seed,
        templates=cast(Templates, templates),
    )
    with Senders(target) as senders, Stopped() as stopped:
        office = Office(processes, lambda payload, source: senders.send(payload, source=source))
        problem = _run(office, Pacer(rate), duration, stopped)
    _print(office.sent, as_json=as_json)
    if problem is not None:
        fail(problem)


def _run(office: Office, pacer: Pacer, duration_s: float, stopped: Stopped) -> str | None:
    """Send until the time is over or somebody stops it; return what went wrong, if anything."""
    started = time.monotonic()
    with progress_bar("traffic") as progress:
        task = progress.add_task("traffic", total=duration_s or None, facts="")
        try:
            while not stopped:
                elapsed_s = time.monotonic() - started
                is_over = bool(duration_s) and elapsed_s >= duration_s
                at_s = min(elapsed_s, duration_s) if duration_s else elapsed_s
                office.work(pacer.take(at_s), at_s, datetime.now().astimezone())
                _show(progress, task, office.sent, at_s)
                if is_over:
                    break
                busy_s = time.monotonic() - started - elapsed_s
                time.sleep(max(TICK_S - busy_s, 0.001))
            office.finish(datetime.now().astimezone())
        except TargetError as error:
            return str(error)
    return None


def _show(progress: Progress, task: TaskID, sent: Sent, elapsed_s: float) -> None:
    if not progress.disable:
        facts = f"{format_count(sent.total.flows)} flows, {format_bytes(sent.total.bytes)}"
        progress.update(task, completed=elapsed_s, facts=facts)


def _loopback_target(text: str) -> Target:
    target = parse_target(text)
    if not target.is_loopback:
        raise TargetError(
            f"--to {text}: invented traffic goes to loopback (127.0.0.0/8) only, where each "
            "exporter has an address of its own."
        )
    return target


def _versions(text: str) -> list[Version]:
    chosen = [part.strip() for part in text.split(",") if part.strip()]
    if not chosen or any(version not in VERSIONS for version in chosen):
        fail(f"--versions {text}: choose from {', '.join(VERSIONS)}.", code=2)
    return [version for part in chosen for version in VERSIONS if version == part]


def _fields(counts: Counts) -> dict[str, object]:
    return {
        "flows": counts.flows,
        "bytes": counts.bytes,
        "packets": counts.packets,
        "datagrams": counts.datagrams,
    }


def _print(sent: Sent, *, as_json: bool) -> None:
    if as_json:
        json.dump(sent.as_json(), sys.stdout)
        sys.stdout.write("\n")
        return
    total = sent.total
    table = Table(title=f"sent: {total.flows:,} flows in {total.datagrams:,} datagrams")
    for column in ("exporter", "version"):
        table.add_column(column)
    for column in ("flows", "bytes", "packets", "datagrams"):
        table.add_column(column, justify="right")
    for address, counts in sent.by_exporter():
        numbers = (counts.flows, counts.bytes, counts.packets, counts.datagrams)
        table.add_row(address, sent.versions[address], *(f"{number:,}" for number in numbers))
    table.add_section()
    numbers = (total.flows, total.bytes, total.packets, total.datagrams)
    table.add_row("all", "", *(f"{number:,}" for number in numbers))
    Console().print(table)

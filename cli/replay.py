"""`steadflow replay`: send the datagrams of a capture to a collector."""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, BinaryIO, Protocol

import typer
from rich.console import Console
from rich.table import Table

from cli.pacing import Pacer
from cli.sending import EXPORTERS_MAX, Senders, Target, TargetError, loopback_address, parse_target
from cli.stopping import Stopped
from cli.terminal import fail, format_count, progress_bar
from shared.addresses import format_address
from shared.pcap import Capture, CaptureError, Datagram

FIRST_SOURCE = "127.0.2.1"
"""Replayed exporters come from here up; `steadflow traffic` has 127.0.1.x."""
TICK_S = 0.02
GAP_S_MAX = 10.0
"""A longer silence in a capture is shortened to this, before `--speed` divides it."""
UNPACED_PPS = 20_000.0
"""Without --speed and --rate: below what one collector worker takes from its socket."""


class Schedule(Protocol):
    """When the next datagram may leave."""

    def wait_s(self, datagram_time_ms: int, elapsed_s: float) -> float:
        """Return how long to wait, 0 for now. Times: of the capture in ms, since the start in s."""


@dataclass(slots=True)
class AsCaptured:
    """Gaps of the capture, divided by `speed`."""

    speed: float
    _last_ms: int | None = None
    _due_s: float = 0.0

    def wait_s(self, datagram_time_ms: int, elapsed_s: float) -> float:
        """Return the rest of the gap to the datagram before; steps back in time count as none."""
        if self._last_ms is not None:
            gap_s = min(max(datagram_time_ms - self._last_ms, 0) / 1000, GAP_S_MAX)
            self._due_s += gap_s / self.speed
        self._last_ms = datagram_time_ms
        return max(self._due_s - elapsed_s, 0.0)


@dataclass(slots=True)
class AtRate:
    """A fixed number of datagrams a second."""

    pacer: Pacer
    _tokens: int = 0

    def wait_s(self, datagram_time_ms: int, elapsed_s: float) -> float:
        """Take a token; return the time of one when there is none."""
        if not self._tokens:
            self._tokens = self.pacer.take(elapsed_s)
        if self._tokens:
            self._tokens -= 1
            return 0.0
        # The token that comes during the wait is this datagram's.
        self.pacer.borrow()
        return 1.0 / self.pacer.rate


@dataclass(slots=True)
class Replayed:
    """What was sent: datagrams and bytes of payload, by original exporter, and under which address.

    first_source: loopback address of the first exporter.
    sources: original exporter -> address it was sent from ("" for the system's choice).
    """

    first_source: str = FIRST_SOURCE
    datagrams: int = 0
    payload_bytes: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Return the facts; `exporters` is keyed by the original address."""
        return {
            "datagrams": self.datagrams,
            "payload_bytes": self.payload_bytes,
            "skipped_frames": self.skipped,
            "exporters": {
                original: {"sent_from": source or None, "datagrams": self.counts[original]}
                for original, source in self.sources.items()
            },
        }


def replay(
    file: Annotated[Path, typer.Argument(help="Capture file, pcap or pcapng.")],
    to: Annotated[str, typer.Option(help="Collector, HOST:PORT.")] = "127.0.0.1:2055",
    speed: Annotated[
        float | None, typer.Option(min=0.001, help="Keep the capture's gaps, N times as fast.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Datagrams per second instead.")
    ] = None,
    source: Annotated[
        str, typer.Option(help="On loopback: address of the first exporter, the others follow.")
    ] = FIRST_SOURCE,
    as_json: Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")] = False,
) -> None:
    """Send the UDP datagrams of a capture to a collector.

    On loopback each exporter of the capture gets a loopback address of its own; the table of them
    is printed. Elsewhere all datagrams come from this machine's address.
    """
    if speed is not None and rate is not None:
        fail("Give --speed or --rate, not both.", code=2)
    schedule = AsCaptured(speed) if speed else AtRate(Pacer(rate or UNPACED_PPS, burst_s=0.05))
    replayed = Replayed(first_source=source)
    problem: str | None = None
    try:
        target = parse_target(to)
        with file.open("rb") as stream:
            send_capture(stream, file.stat().st_size, target, schedule, replayed)
    except OSError as error:
        fail(f"{file}: {error.strerror}.")
    except CaptureError as error:
        problem = f"{file}: {error}."
    except TargetError as error:
        problem = str(error)
    if replayed.datagrams or problem is None:
        _print(replayed, as_json=as_json)
    if problem is not None:
        fail(problem)


def send_capture(
    stream: BinaryIO, size: int, target: Target, schedule: Schedule, replayed: Replayed
) -> None:
    """Send all datagrams of a capture of `size` bytes, noting in `replayed` what was sent.

    Raises CaptureError and TargetError; what was sent before stands in `replayed`.
    """
    capture = Capture(stream)
    with Senders(target) as senders, Stopped() as stopped, progress_bar("replay") as progress:
        task = progress.add_task("replay", total=size, facts="")
        try:
            for datagram in _paced(iter(capture), schedule, stopped):
                original = format_address(datagram.source)
                source = _source(original, target, replayed)
                senders.send(datagram.payload, source=source)
                replayed.datagrams += 1
                replayed.payload_bytes += len(datagram.payload)
                replayed.counts[original] += 1
                facts = f"{format_count(replayed.datagrams)} datagrams"
                progress.update(task, completed=stream.tell(), facts=facts)
        finally:
            replayed.skipped = dict(capture.skipped)


def _paced(
    datagrams: Iterator[Datagram], schedule: Schedule, stopped: Stopped
) -> Iterator[Datagram]:
    started = time.monotonic()
    for datagram in datagrams:
        due_s = schedule.wait_s(datagram.time_ms, elapsed := time.monotonic() - started) + elapsed
        while not stopped and (left_s := due_s - (time.monotonic() - started)) > 0:
            time.sleep(min(left_s, TICK_S))
        if stopped:
            return
        yield datagram


def _source(original: str, target: Target, replayed: Replayed) -> str:
    if original not in replayed.sources:
        if len(replayed.sources) >= EXPORTERS_MAX:
            raise TargetError(f"The capture has more than {EXPORTERS_MAX} exporters.")
        number = len(replayed.sources)
        own = loopback_address(number, first=replayed.first_source) if target.is_loopback else ""
        replayed.sources[original] = own
        replayed.counts[original] = 0
    return replayed.sources[original]


def _print(replayed: Replayed, *, as_json: bool) -> None:
    if as_json:
        json.dump(replayed.as_json(), sys.stdout)
        sys.stdout.write("\n")
        return
    table = Table(title=f"sent: {replayed.datagrams:,} datagrams")
    table.add_column("exporter in the capture")
    table.add_column("sent from")
    table.add_column("datagrams", justify="right")
    for original, source in replayed.sources.items():
        table.add_row(original, source or "this machine", f"{replayed.counts[original]:,}")
    console = Console()
    console.print(table)
    if replayed.skipped:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in replayed.skipped.items())
        console.print(f"frames that carry no UDP datagram: {reasons}")

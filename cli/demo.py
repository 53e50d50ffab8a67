"""`steadflow demo`: a whole system with invented traffic, both centrals compared live."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

import psutil
import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from cli import running
from cli.browser import open_page
from cli.client import Asker, AskError, CentralAddress, find_centrals, reading_token
from cli.cluster import last_takeover
from cli.cluster_client import ClusterClient, ClusterError, Json, urls_of
from cli.first_login import say_first_password
from cli.home import default_home
from cli.keys import Keys, keys
from cli.live import TOP, CentralView, View, agree, draw, same
from cli.report import rfc3339
from cli.stopping import Stopped
from cli.supervise import last_line
from cli.terminal import fail, format_bytes
from shared.parent import die_with_parent

MARKER = "this-is-a-demo"
SECONDS_WITHOUT_TERMINAL = 60.0
START_TIMEOUT_S = 300.0
"""A first start downloads Kafka's jars."""
ARRIVE_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 60.0
REFRESH_S = 1.0
SETTLE_S = 5
"""A minute is compared this long after its end: batches of its last moment are on their way."""
SUMS = ("flows", "bytes", "packets")


class DemoError(Exception):
    """The demo cannot go on; the text is one sentence."""


def demo(
    home: Annotated[
        Path | None, typer.Option(help="Folder of the demo alone; emptied at each start.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=1.0, help="End after so long; default on a terminal: never.")
    ] = None,
    rate: Annotated[
        float, typer.Option(min=1.0, max=100_000.0, help="Flows per second to invent.")
    ] = 1000.0,
    udp_port: Annotated[int | None, typer.Option(help="As of `steadflow up`.")] = None,
    kafka_port: Annotated[int | None, typer.Option(help="As of `steadflow up`.")] = None,
    web_port: Annotated[int | None, typer.Option(help="As of `steadflow up`.")] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Open no browser.")] = False,
) -> None:
    """Start everything with sample traffic, open the page, compare both centrals; Ctrl-C ends it.

    On a terminal, k kills the primary's process, and shows who takes over and how fast.

    Without a terminal it runs for a minute, waits until both centrals counted all that was sent,
    prints their totals, and exits 0 when they are equal.
    """
    home = home or default_home().with_name("steadflow-demo")
    ports = {"--udp-port": udp_port, "--kafka-port": kafka_port, "--web-port": web_port}
    options = [
        text for name, port in ports.items() if port is not None for text in (name, str(port))
    ]
    console = Console()
    if seconds is None and not console.is_terminal:
        seconds = SECONDS_WITHOUT_TERMINAL
    try:
        empty(home)
        with (
            Stopped() as stopped,
            _system(home, options, console, stopped),
            Asker(token=reading_token(home, None)) as asker,
        ):
            if console.is_terminal:
                say_first_password(home, console.print)
            if not no_browser:
                open_page(find_centrals(home)[0].url)
            outcome = _run(home, rate, seconds, console, stopped, asker)
    except (DemoError, AskError) as error:
        fail(str(error))
    _print(outcome, console)
    if not outcome.is_equal:
        raise typer.Exit(1)


def empty(home: Path) -> None:
    """Empty the folder of an earlier demo. Raises DemoError for any other folder with content."""
    if not home.exists():
        home.mkdir(parents=True, mode=0o700)
    if not home.is_dir():
        raise DemoError(f"--home {home} is a file, not a folder.")
    if any(home.iterdir()) and not (home / MARKER).exists():
        raise DemoError(
            f"--home {home} is not a demo's folder, and a demo would empty it: choose another one."
        )
    if running.is_held(home):
        raise DemoError(f"A demo runs in {home} already: stop that one first.")
    for entry in home.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != MARKER:
            entry.unlink()
    (home / MARKER).touch()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the demo ended: what was sent, each central's totals, losses as the first names them."""

    sent: Mapping[str, Any]
    totals: Mapping[str, Mapping[str, int]]
    losses: Sequence[Mapping[str, Any]]

    @property
    def is_equal(self) -> bool:
        """True when every central counted exactly what was sent."""
        return same([self.sent, *self.totals.values()])


@contextlib.contextmanager
def _system(
    home: Path, options: Sequence[str], console: Console, stopped: Stopped
) -> Iterator[None]:
    """Run `steadflow up` as long as the block; give it the time to stop in order."""
    log = home / "logs" / "up.log"
    log.parent.mkdir(exist_ok=True)
    command = ["up", "--home", str(home), "--no-browser", "--no-traffic", *options]
    # Appended to: the launcher cuts it when it is large.
    with log.open("ab") as output:
        output.truncate(0)
        process = _start(command, stdout=output, stderr=output)
    try:
        _wait_ready(home, process, log, console, stopped)
        yield
    finally:
        with console.status("stopping"):
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _start(command: Sequence[str], **streams: Any) -> "subprocess.Popen[bytes]":  # as of Popen
    # The package is found from any folder, installed or not.
    path = os.pathsep.join(
        [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    return subprocess.Popen(
        [sys.executable, "-m", "cli", *command],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        # Ctrl-C is for the demo, which stops the others in order.
        start_new_session=True,
        preexec_fn=partial(die_with_parent, os.getpid(), by=signal.SIGTERM),
        **streams,
    )


def _wait_ready(
    home: Path,
    process: "subprocess.Popen[bytes]",
    log: Path,
    console: Console,
    stopped: Stopped,
) -> None:
    started = time.monotonic()
    with console.status("starting Kafka, a registry, two centrals and a collector") as status:
        while not _is_ready(home, process.pid):
            if log.stat().st_size:
                status.update(last_line(log))
            if stopped:
                _give_up("Stopped before everything had started.")
            if process.poll() is not None:
                _give_up(last_line(log))
            if time.monotonic() - started > START_TIMEOUT_S:
                _give_up(f"Not everything was ready after {START_TIMEOUT_S:.0f} s: see {log}.")
            time.sleep(0.3)
    if not console.is_terminal:
        console.print(f"everything runs after {time.monotonic() - started:.0f} s")


def _is_ready(home: Path, pid: int) -> bool:
    facts = running.read(home)
    return facts is not None and facts.get("pid") == pid and bool(facts.get("ready"))


def _give_up(sentence: str) -> NoReturn:
    raise DemoError(sentence)


def _run(
    home: Path,
    rate: float,
    seconds: float | None,
    console: Console,
    stopped: Stopped,
    asker: Asker,
) -> Outcome:
    centrals = find_centrals(home)
    since = datetime.now(UTC).replace(second=0, microsecond=0)
    facts = running.read(home) or {}
    target = str(facts["collectors"][0]["udp"])
    command = ["traffic", "--to", target, "--rate", str(rate), "--json"]
    # Its progress bar would draw into the live view.
    with (home / "logs" / "traffic.log").open("wb") as log:
        traffic = _start(command, stdout=subprocess.PIPE, stderr=log)
    watch = _Watch(home, centrals, since, seconds, asker)
    try:
        _watch(watch, console, stopped)
    finally:
        traffic.terminate()
        output, _ = traffic.communicate(timeout=30)
    try:
        sent = json.loads(output)
    except ValueError as error:
        raise DemoError("The traffic did not say what it sent.") from error
    with console.status("waiting until both centrals have counted everything"):
        return _arrived(centrals, since, sent, stopped, asker)


@dataclass(frozen=True, slots=True)
class _Watch:
    """What is looked at. since: the first minute; seconds: None to go on until stopped."""

    home: Path
    centrals: Sequence[CentralAddress]
    since: datetime
    seconds: float | None
    asker: Asker


def _watch(watch: _Watch, console: Console, stopped: Stopped) -> None:
    started, agreed_s = time.monotonic(), 0.0
    seconds, killed = watch.seconds, ""
    if not console.is_terminal:
        console.print(f"sending NetFlow v5, v9 and IPFIX for {seconds or 0:.0f} s")
    with (
        keys() as pressed,
        Live(console=console, auto_refresh=False, transient=True) as live,
    ):
        while not stopped:
            elapsed_s = time.monotonic() - started
            if seconds is not None and elapsed_s >= seconds:
                return
            if console.is_terminal:
                cluster = _cluster(watch.home)
                notes = _notes(watch, pressed, cluster, killed)
                view = _look(watch, elapsed_s, notes, cluster)
                if agree(view):
                    agreed_s = elapsed_s
                live.update(draw(replace(view, unequal_s=elapsed_s - agreed_s)), refresh=True)
            spent_s = time.monotonic() - started - elapsed_s
            if "k" in pressed.pressed(max(REFRESH_S - spent_s, 0.1)).lower():
                killed = _kill_primary(watch.home)


def _notes(watch: _Watch, pressed: Keys, cluster: Json | None, killed: str) -> list[str]:
    notes = [f"{central.name}: {central.url}" for central in watch.centrals]
    if killed:
        notes.insert(0, killed)
    if pressed.can_come and cluster is not None and cluster["primary"] is not None:
        notes.append(f"Press k to kill {cluster['primary']}, the primary.")
    seconds = watch.seconds
    end = "Ctrl-C ends the demo." if seconds is None else f"The demo ends after {seconds:.0f} s."
    return [*notes, end]


def _cluster(home: Path) -> Json | None:
    """Return the cluster as one of its own tells it; None when nobody does."""
    try:
        with ClusterClient(urls_of(home)) as client:
            return client.view()
    except ClusterError:
        return None


def _kill_primary(home: Path) -> str:
    """End the primary as a crash would; say what was done."""
    cluster, facts = _cluster(home), running.read(home)
    if cluster is None or facts is None:
        return "Nobody says who is primary."
    for noted in facts["centrals"]:
        process = running.find(noted)
        if noted["name"] == cluster["primary"] and process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
            now = datetime.now().astimezone()
            return f"{now:%H:%M:%S}: {noted['name']} was killed, process {process.pid}."
    return "There is no primary to kill now."


def _look(watch: _Watch, elapsed_s: float, notes: Sequence[str], cluster: Json | None) -> View:
    now = datetime.now(UTC)
    settled = (now - timedelta(seconds=SETTLE_S)).replace(second=0, microsecond=0)
    until = settled if settled > watch.since else None
    primary = None if cluster is None else cluster["primary"]
    return View(
        [
            replace(
                _look_at(central, watch.since, until, watch.asker),
                is_primary=central.name == primary,
            )
            for central in watch.centrals
        ],
        elapsed_s,
        f"{until.astimezone():%H:%M}" if until else None,
        notes,
        takeover="" if cluster is None else last_takeover(cluster, now) or "",
    )


def _look_at(
    central: CentralAddress, since: datetime, until: datetime | None, asker: Asker
) -> CentralView:
    period = {"from": rfc3339(since), "to": rfc3339(datetime.now(UTC) + timedelta(minutes=1))}
    try:
        totals = asker.get(central, "totals", dict(period))
        top = asker.get(
            central,
            "reports/top",
            # The centrals are asked one after the other: at the end of the list they may differ.
            {**period, "by": "src_addr", "metric": "bytes", "limit": 2 * TOP},
        )
        settled = None
        if until is not None:
            over = {"from": rfc3339(since), "to": rfc3339(until)}
            settled = asker.get(central, "totals", dict(over))
        lag_records = asker.lag_records(central)
    except AskError:
        return CentralView(central.name)
    return CentralView(central.name, totals, settled, top["rows"], lag_records)


def _arrived(
    centrals: Sequence[CentralAddress],
    since: datetime,
    sent: Mapping[str, Any],
    stopped: Stopped,
    asker: Asker,
) -> Outcome:
    """Wait until every central counted what was sent, until a second Ctrl-C at most."""
    deadline = time.monotonic() + ARRIVE_TIMEOUT_S
    while True:
        period = {"from": rfc3339(since), "to": rfc3339(datetime.now(UTC) + timedelta(minutes=1))}
        totals: dict[str, Mapping[str, int]] = {}
        for central in centrals:
            try:
                totals[central.name] = asker.get(central, "totals", dict(period))
            except AskError:
                totals[central.name] = dict.fromkeys(SUMS, 0)
        outcome = Outcome(sent, totals, ())
        if outcome.is_equal:
            return outcome
        if time.monotonic() > deadline or stopped.times > 1:
            losses = asker.get(centrals[0], "losses", dict(period))["rows"]
            return Outcome(sent, totals, losses)
        time.sleep(0.5)


def _print(outcome: Outcome, console: Console) -> None:
    table = Table()
    table.add_column("")
    for name in SUMS:
        table.add_column(name, justify="right")
    table.add_row("sent", *(f"{outcome.sent[name]:,}" for name in SUMS))
    for central, totals in outcome.totals.items():
        table.add_row(central, *(f"{totals[name]:,}" for name in SUMS))
    console.print(table)
    if outcome.is_equal:
        size = format_bytes(outcome.sent["bytes"])
        console.print(
            f"equal: all {outcome.sent['flows']:,} flows ({size}) counted by each central"
        )
        return
    if same(list(outcome.totals.values())):
        console.print("both centrals are equal, and both miss something that was sent:")
        for loss in outcome.losses:
            console.print(f"  {json.dumps(loss)}")
    else:
        console.print("the centrals differ")

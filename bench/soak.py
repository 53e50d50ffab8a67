"""`make soak`: a whole system at a steady rate for half an hour; is it flat, are counts equal?

One line a minute says how it stands. At the end the sums of the sender must be those of both
centrals, and the line through each process's memory must not rise (`soak_judgement`).
"""

import argparse
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import IO, Any

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from bench.soak_report import SUMS, Process, Report, Sample, report, table
from bench.waiting import TookTooLong, wait_until
from cli import running, status
from cli.ports import free_port, free_udp_port
from shared.parent import die_with_parent

ROOT = Path(__file__).parent.parent
EVERY_S = 10.0
SAY_EVERY_S = 60.0
START_S = 300.0
ARRIVE_S = 180.0
ASK_S = 30.0
CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip
LIVE_STREAM = "/api/v1/live/events"


def main() -> int:
    """Run a soak; the exit code says whether everything that must hold does."""
    asked = _arguments()
    # Asked to end, it stops the system it started, and its browser.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    with contextlib.ExitStack() as opened:
        work = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="steadflow-soak-")))
        system = opened.enter_context(_system(work))
        watchers = _watchers(opened, system)
        _say(f"runs in {system.home}; watched by {', '.join(watchers) or 'nobody'}")
        sent_file = work / "sent.json"
        traffic = _send(system, asked.rate, asked.minutes * 60, sent_file, work / "traffic.log")
        samples = _follow(system, traffic, asked.samples)
        sent = json.loads(sent_file.read_text())
        counts = _count(system, sent)
    about = {
        "minutes": asked.minutes,
        "flows_per_s": asked.rate,
        "warm_up_minutes": asked.minutes * asked.warm_up,
        "watched_by": watchers,
        "cores": psutil.cpu_count(),
        "load": psutil.getloadavg()[2],
        "python": platform.python_version(),
        "disk_bytes": samples[-1].disk_bytes,
    }
    found = report(samples, counts, about, warm_up_s=asked.minutes * 60 * asked.warm_up)
    _write(found, asked.out)
    return 0 if found.holds else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=2000.0, help="flows per second")
    parser.add_argument(
        "--warm-up", type=float, default=1 / 3, help="share of the time that is not judged"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    asked.samples = asked.out / "soak-samples.jsonl"
    return asked


class System:
    """A running steadflow, asked over HTTP."""

    def __init__(self, home: Path) -> None:
        """home: where its launcher runs, ready."""
        self.home = home
        self._client = httpx.Client(timeout=ASK_S, trust_env=False)
        noted = running.read(home) or {}
        self.udp = str(noted["collectors"][0]["udp"])
        self.launcher = int(noted["pid"])
        self.collector_url = str(noted["collectors"][0]["url"])
        self.central_urls = {str(c["name"]): str(c["url"]) for c in noted["centrals"]}

    def totals(self, central: str) -> dict[str, int]:
        """Return flows, bytes and packets of all that a central holds."""
        answer = self._client.get(f"{self.central_urls[central]}/api/v1/totals").raise_for_status()
        found = answer.json()
        return {name: int(found[name]) for name in SUMS}

    def has(self, path: str) -> bool:
        """Return whether the centrals' API describes `path`."""
        url = next(iter(self.central_urls.values()))
        answer = self._client.get(f"{url}/openapi.json").raise_for_status()
        return path in answer.json()["paths"]

    def has_page(self) -> bool:
        """Return whether the centrals answer a browser."""
        url = next(iter(self.central_urls.values()))
        return self._client.get(url, follow_redirects=True).is_success

    def sample(self, at_s: float) -> Sample:
        """Measure everything once."""
        collector = self._metrics(self.collector_url)
        lag_s = {"collector": _largest(collector, "steadflow_ingest_lag_seconds")}
        lag_records = {"collector": _sum(collector, "steadflow_ingest_lag_records")}
        for name, url in self.central_urls.items():
            central = self._metrics(url)
            lag_s[name] = _largest(central, "steadflow_central_lag_seconds")
            lag_records[name] = _sum(central, "steadflow_central_lag_records")
        return Sample(
            at_s=at_s,
            processes={name: _measure(pid) for name, pid in self._pids().items()},
            lag_s=lag_s,
            lag_records=lag_records,
            spool_bytes=_sum(collector, "steadflow_ingest_spool_bytes"),
            disk_bytes={path.name: _folder_bytes(path) for path in self.home.iterdir()},
        )

    def _pids(self) -> dict[str, int]:
        facts = status.gather(self.home)
        pids = {"launcher": facts["pid"], "broker": facts["broker"]["pid"]}
        for process in facts["collectors"][0]["processes"]:
            pids[process["role"]] = process["pid"]
        pids |= {central["name"]: central["pid"] for central in facts["centrals"]}
        return {name: pid for name, pid in pids.items() if pid is not None}

    def _metrics(self, url: str) -> list[tuple[str, float]]:
        text = self._client.get(f"{url}/metrics").raise_for_status().text
        return [
            (sample.name, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]


@contextlib.contextmanager
def _system(work: Path) -> Iterator[System]:
    home, log = work / "home", work / "up.log"
    command = [
        sys.executable, "-m", "cli", "up", "--home", str(home), "--no-browser", "--no-traffic",
        "--udp-port", str(free_udp_port()), "--kafka-port", str(free_port(row=5)),
        "--web-port", str(free_port(row=4)),
    ]  # fmt: skip
    with log.open("ab") as output:
        launcher = _start(command, output, output)

    def is_ready() -> bool:
        if launcher.poll() is not None:
            raise TookTooLong(f"steadflow ended while it started: {log.read_text()}")
        noted = running.read(home)
        return noted is not None and bool(noted.get("ready"))

    try:
        wait_until(is_ready, "steadflow is ready", deadline_s=START_S)
        yield System(home)
    finally:
        launcher.terminate()
        try:
            launcher.wait(2 * ASK_S)
        except subprocess.TimeoutExpired:
            launcher.kill()
            launcher.wait()


def _watchers(opened: contextlib.ExitStack, system: System) -> list[str]:
    """Open a page and a live stream as users do, where there are such; return which."""
    url, found = next(iter(system.central_urls.values())), []
    if system.has(LIVE_STREAM):
        threading.Thread(target=_listen, args=[url + LIVE_STREAM], daemon=True).start()
        found.append("a live stream")
    if system.has_page() and CHROMIUM.exists():
        opened.enter_context(_page(url))
        found.append("a page in a browser")
    return found


def _listen(url: str) -> None:
    """Read a live stream until the system ends; again when it breaks off."""
    while True:
        with (
            contextlib.suppress(httpx.HTTPError),
            httpx.stream("GET", url, timeout=None, trust_env=False) as answer,
        ):
            for _ in answer.iter_lines():
                pass
        time.sleep(1)


@contextlib.contextmanager
def _page(url: str) -> Iterator[None]:
    from playwright.sync_api import sync_playwright  # only where there is a browser

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, headless=True, args=CHROMIUM_ARGUMENTS
        )
        browser.new_page().goto(url)
        yield
        browser.close()


def _send(
    system: System, rate: float, seconds: float, out: Path, log: Path
) -> "subprocess.Popen[bytes]":
    command = [
        sys.executable, "-m", "cli", "traffic", "--to", system.udp, "--rate", str(rate),
        "--duration", str(seconds), "--json",
    ]  # fmt: skip
    with out.open("wb") as said, log.open("ab") as errors:
        return _start(command, said, errors)


def _start(command: Sequence[str], out: IO[bytes], errors: IO[bytes]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=errors,
        # SIGTERM: what dies with this process stops what it started itself in order.
        preexec_fn=partial(die_with_parent, os.getpid(), by=signal.SIGTERM),
    )


def _follow(system: System, traffic: "subprocess.Popen[bytes]", file: Path) -> list[Sample]:
    """Sample until the traffic ends; also into `file`, one JSON object a line."""
    samples: list[Sample] = []
    started_s = said_s = time.monotonic()
    with file.open("w", buffering=1) as lines:
        while traffic.poll() is None:
            at_s = time.monotonic() - started_s
            try:
                samples.append(system.sample(at_s))
            except (httpx.HTTPError, psutil.Error) as error:
                _say(f"no sample at {at_s:.0f} s: {error!r}")
            else:
                lines.write(json.dumps(asdict(samples[-1])) + "\n")
                if time.monotonic() >= said_s:
                    said_s += SAY_EVERY_S
                    _say(_line(samples[-1]))
            with contextlib.suppress(subprocess.TimeoutExpired):
                spent_s = time.monotonic() - started_s - at_s
                traffic.wait(max(EVERY_S - spent_s, 0.1))
    return samples


def _count(system: System, sent: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Return the sums of the sender and, once they are equal or time is up, of the centrals."""
    wanted = {name: int(sent[name]) for name in SUMS}
    counts = {"sender": wanted}

    def all_there() -> bool:
        for name in system.central_urls:
            counts[name] = system.totals(name)
        return all(found == wanted for found in counts.values())

    try:
        wait_until(all_there, "both centrals counted what was sent", deadline_s=ARRIVE_S, every_s=1)
    except TookTooLong as error:
        _say(str(error))
    return counts


def _write(found: Report, folder: Path) -> None:
    (folder / "soak.json").write_text(json.dumps(found.as_json(), indent=1) + "\n")
    (folder / "soak.md").write_text(table(found) + "\n")
    _say(table(found))
    for finding in found.findings:
        _say(f"{'holds' if finding.holds else 'DOES NOT HOLD'}: {finding.what} ({finding.seen})")


def _measure(pid: int) -> Process:
    process = psutil.Process(pid)
    with process.oneshot():
        memory, cpu = process.memory_full_info(), process.cpu_times()
        return Process(
            pid=pid,
            rss_bytes=memory.rss,
            pss_bytes=memory.pss,
            files=process.num_fds(),
            threads=process.num_threads(),
            cpu_s=cpu.user + cpu.system,
        )


def _folder_bytes(path: Path) -> int:
    """Return what a folder takes on the disk; files may vanish meanwhile."""
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(f"{folder}/{name}").st_blocks * 512
    return total


def _sum(metrics: list[tuple[str, float]], name: str) -> float:
    return sum(value for found, value in metrics if found == name)


def _largest(metrics: list[tuple[str, float]], name: str) -> float:
    return max((value for found, value in metrics if found == name), default=0.0)


def _line(sample: Sample) -> str:
    memory = " ".join(f"{n} {p.pss_bytes / 2**20:.0f}" for n, p in sample.processes.items())
    lag = " ".join(f"{name} {value:.1f}" for name, value in sample.lag_s.items())
    files = sum(process.files for process in sample.processes.values())
    disk = sum(sample.disk_bytes.values()) / 2**20
    return (
        f"{sample.at_s / 60:5.1f} min: MiB {memory} | lag, s: {lag} | "
        f"spool {sample.spool_bytes / 2**20:.0f} MiB, disk {disk:.0f} MiB, {files} files"
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

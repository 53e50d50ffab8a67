"""How long reports take over a day of a large network, asked as the page asks: over HTTP."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.central import Central
from bench.processes import ROOT
from cli.ports import free_port

_GENERATE_S = 1_800.0
_WARM_ROUNDS = 1

REPORTS: dict[str, tuple[str, dict[str, str]]] = {
    "totals": ("/api/v1/totals", {}),
    "top 10 interfaces": ("/api/v1/reports/top", {"by": "in_if"}),
    "top 10 sources": ("/api/v1/reports/top", {"by": "src_addr"}),
    "top 10 applications": ("/api/v1/reports/top", {"by": "application"}),
    "all 20,000 interfaces, first 1,000": ("/api/v1/interfaces", {"limit": "1000"}),
    "time series, hours": ("/api/v1/reports/timeseries", {"step": "3600"}),
    "time series, 5 minutes": ("/api/v1/reports/timeseries", {"step": "300"}),
    "time series, 5 minutes, top 10 exporters": (
        "/api/v1/reports/timeseries", {"step": "300", "by": "exporter"},
    ),
    "time series, 5 minutes, one interface": (
        "/api/v1/reports/timeseries", {"step": "300", "exporter": "10.1.0.7", "in_if": "7"},
    ),
}  # fmt: skip
"""Name -> path and parameters."""


@dataclass(frozen=True, slots=True)
class ReportTimes:
    """Milliseconds from question to answer."""

    p50_ms: float
    p95_ms: float


class ReportFailed(Exception):
    """A report did not answer; the text says which and how."""


def run_reports(
    folder: Path, *, hours: int, rounds: int, now: datetime, say: Callable[[str], None]
) -> dict[str, ReportTimes]:
    """Generate a store below `folder`, start a central on it, and ask each report in turn."""
    until_s = int(now.timestamp()) // 60 * 60
    say(f"  generating {hours} hours of roll-ups for 20,000 interfaces")
    folder.mkdir()
    subprocess.run(
        [sys.executable, "-m", "bench.rollups", str(folder / "store"),
         "--until", str(until_s), "--hours", str(hours)],
        cwd=ROOT, timeout=_GENERATE_S, check=True,
    )  # fmt: skip
    # Nobody listens there: reports need no Kafka.
    central = Central(folder, f"127.0.0.1:{free_port()}")
    times: dict[str, list[float]] = {name: [] for name in REPORTS}
    asked = {"from": _text(until_s - hours * 3600), "to": _text(until_s)}
    central.start()
    try:
        for number in range(_WARM_ROUNDS + rounds):
            for name, (path, parameters) in REPORTS.items():
                spent_ms = _ask(central, name, path, asked | parameters)
                if number >= _WARM_ROUNDS:
                    times[name].append(spent_ms)
    finally:
        central.stop()
    return {name: _times(spent) for name, spent in times.items()}


def _ask(central: Central, name: str, path: str, parameters: dict[str, str]) -> float:
    started_s = time.perf_counter()
    answer = central.get(path, **parameters)
    spent_ms = (time.perf_counter() - started_s) * 1000
    if answer is None or answer.status_code != 200:
        raise ReportFailed(f"{name}: {'no answer' if answer is None else answer.text[:200]}")
    if not answer.json().get("rows", True):
        raise ReportFailed(f"{name}: an empty answer measures nothing")
    return spent_ms


def _times(spent_ms: list[float]) -> ReportTimes:
    ordered = sorted(spent_ms)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    return ReportTimes(round(statistics.median(ordered), 1), round(p95, 1))


def _text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()

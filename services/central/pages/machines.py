"""What the Failover page shows of machines that join or stand by, as they say themselves; pure."""

from collections.abc import Iterable
from typing import Any

from services.central.join.machines import LATE_MS, Heard, ReportedLine
from services.central.pages import units

Model = dict[str, Any]  # Any: nested JSON as `static/sf_machines.js` reads it.
_LEVELS = {"green": "good", "amber": "warn", "red": "bad"}
_PROVEN = "standby"


def machines_of(heard: Iterable[Heard], now_ms: int) -> list[Model]:
    """Return the machines, by name."""
    return [_machine(each, now_ms) for each in heard]


def _machine(heard: Heard, now_ms: int) -> Model:
    report = heard.report
    age_ms = max(0, now_ms - heard.at_ms)
    lights = [line.light for line in report.lines]
    is_proven = report.phase == _PROVEN
    shown = [line for line in report.lines if line.light != "green" or not is_proven]
    return {
        "name": report.name,
        "says": report.says or report.phase,
        "level": _level(lights, is_proven=is_proven, is_stuck=report.is_stuck),
        "kind": "keeps a copy only" if report.copies_only else "",
        "problem": report.problem,
        "copy": _copy(heard),
        "pace": report.pace,
        "pace_level": _LEVELS[report.pace_light],
        "lines": [_line(line) for line in shown],
        "greens": lights.count("green"),
        "checked": report.checked_ms,
        "heard": "" if age_ms < LATE_MS else f"not heard for {units.age(age_ms / 1000)}",
    }


def _level(lights: list[str], *, is_proven: bool, is_stuck: bool) -> str:
    if is_stuck or "red" in lights:
        return "bad"
    if "amber" in lights:
        return "warn"
    return "good" if is_proven else "calm"


def _copy(heard: Heard) -> Model | None:
    """Return how far the copy is; None while none is under way."""
    report = heard.report
    if report.phase != "copying" or not report.bytes_total:
        return None
    done, total = report.bytes_done, report.bytes_total
    text = f"{units.with_unit(done, 'B')} of {units.with_unit(total, 'B')}"
    if report.bytes_per_s:
        text += f", {units.with_unit(report.bytes_per_s, 'B/s')}"
    if report.eta_s is not None:
        text += f", {units.age(report.eta_s)} left" if report.eta_s >= 2 else ", about done"
    return {"share": min(1.0, done / total), "text": text}


def _line(line: ReportedLine) -> Model:
    return {
        "check": line.check,
        "light": line.light,
        "level": _LEVELS[line.light],
        "found": line.found,
        "remedy": line.remedy,
    }

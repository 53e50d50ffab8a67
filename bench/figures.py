"""Rounds -> figures: medians, spread, and what moved against an earlier result. Pure."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.central import Stored
from bench.tool import Round

Json = dict[str, Any]

NOISE = 0.15
"""A figure that moved less is noise on a machine that others use too."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, lowest and highest of some rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def as_json(self, digits: int = 0) -> list[float]:
        """Return [median, lowest, highest]."""
        return [round(each, digits) for each in (self.median, self.low, self.high)]


def of_tool(rounds: Sequence[Round]) -> Json:
    """Return the figures of one tool on one load."""
    stages = rounds[0].cpu_s
    taken = sum(each.taken for each in rounds)
    sent = sum(each.sent for each in rounds)
    return {
        "flows_per_cpu_s": Spread.of([each.flows_per_cpu_s for each in rounds]).as_json(),
        "ns_per_flow": {
            stage: round(
                statistics.median([e.cpu_s[stage] / max(e.taken, 1) * 1e9 for e in rounds])
            )
            for stage in stages
        },
        "bytes_per_flow": round(sum(each.bytes for each in rounds) / max(taken, 1), 1),
        "flows_per_s": round(statistics.median([each.flows_per_s for each in rounds])),
        "sent_flows": sent,
        "received_flows": taken,
        "lost_percent": round(100 * (1 - taken / sent), 2),
    }


def of_capture(rounds: Sequence[Round]) -> Json:
    """Return what the captures gave: nobody says how many flows are in them."""
    flows = rounds[-1].taken
    return {"flows": flows, "bytes_per_flow": round(rounds[-1].bytes / max(flows, 1), 1)}


def of_central(rounds: Sequence[Stored]) -> Json:
    """Return the figures of a central that reads a log that is there."""
    last = rounds[-1]
    return {
        "flows_per_cpu_s": Spread.of([each.rows / each.cpu_s for each in rounds]).as_json(),
        "insert_ns_per_flow": round(statistics.median([e.insert_s / e.rows * 1e9 for e in rounds])),
        "closing_ns_per_flow": round(
            statistics.median([e.closing_s / e.rows * 1e9 for e in rounds])
        ),
        "flows": last.rows,
        "flow_bytes_per_flow": round(last.flow_bytes / last.rows, 1),
        "rollup_bytes_per_flow": round(last.rollup_bytes / last.rows, 1),
    }


def ratios(loads: Mapping[str, Mapping[str, Json]]) -> dict[str, Json]:
    """Return how many times the flows per CPU-second of each other tool ours are, by load."""
    found: dict[str, Json] = {}
    for load, tools in loads.items():
        ours = tools["steadflow"]["flows_per_cpu_s"][0]
        found[load] = {
            f"over_{name}": round(ours / figures["flows_per_cpu_s"][0], 2)
            for name, figures in tools.items()
            if name != "steadflow"
        }
    return found


def flat(result: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, float]]:
    """Yield each figure of a result with its path; of a spread the median."""
    for name, value in result.items():
        here = f"{path}/{name}" if path else name
        if isinstance(value, Mapping):
            yield from flat(value, here)
        elif isinstance(value, list) and value and isinstance(value[0], int | float):
            yield here, float(value[0])
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield here, float(value)


_COMPARED = ("flows_per_cpu_s", "bytes_per_flow", "p50_ms", "over_goflow2", "lost_percent")


def moved(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return a line for each figure that moved by more than `NOISE`; empty for other modes."""
    if before.get("mode") != now.get("mode"):
        return []
    old = dict(flat(before))
    lines = []
    for name, value in flat(now):
        was = old.get(name)
        if was is None or not name.endswith(_COMPARED) or abs(value - was) <= NOISE * abs(was):
            continue
        change = f"{value / was - 1:+.0%}" if was else "from nothing"
        lines.append(f"{name}: {was:,.1f} -> {value:,.1f} ({change})")
    return lines

"""Measures everything and writes `results.json`: `python -m bench [--quick]`; ends by itself."""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench import captures, figures, goflow2, machine, nfcapd
from bench.central import Stored, run_central
from bench.packets import LOADS, make_packets
from bench.page import with_tables
from bench.processes import ROOT
from bench.reports import run_reports
from bench.sender import save_packets
from bench.steadflow_collector import SteadflowCollector
from bench.table import show
from bench.tool import Prepared, Round, Tool, run_round
from cli.broker import Broker
from cli.ports import free_port
from shared.kafka import ensure_topics
from shared.topics import TOPICS, Topic

RESULTS = Path(__file__).parent / "results.json"
PAGE = ROOT / "docs" / "performance.md"
CAPTURE_FLOWS_PER_S = 20_000.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. send_s: length of one sending; hours: of generated roll-ups."""

    mode: str
    rounds: int
    send_s: float
    central_rounds: int
    hours: int
    report_rounds: int


FULL = Plan("full", rounds=5, send_s=5.0, central_rounds=3, hours=24, report_rounds=11)
QUICK = Plan("quick", rounds=2, send_s=1.5, central_rounds=1, hours=6, report_rounds=5)

RATES: dict[str, dict[str, float]] = {
    "steadflow": {"v5-30": 200_000, "v9-24": 200_000, "v9-2": 40_000, "ipfix-18": 200_000},
    "goflow2": {"v5-30": 40_000, "v9-24": 40_000, "v9-2": 20_000, "ipfix-18": 40_000},
    "nfcapd": {"v5-30": 200_000, "v9-24": 200_000, "v9-2": 40_000, "ipfix-18": 200_000},
}
"""Flows a second sent to each tool: a rate that it takes with little loss, with room to spare."""

Say = Callable[[str], None]


class Progress:
    """Says what the run does, and how far in it is."""

    def __init__(self) -> None:
        """Begin now."""
        self._started_s = time.monotonic()

    def __call__(self, text: str) -> None:
        """Print one line."""
        sys.stdout.write(f"[{time.monotonic() - self._started_s:4.0f} s] {text}\n")
        sys.stdout.flush()


def tools(folder: Path, broker: Broker, cache: Path, say: Say) -> list[Tool]:
    """Return the collectors that can be measured here; the others are named."""
    found: list[Tool] = [SteadflowCollector(folder, broker)]
    try:
        say(f"building goflow2 {goflow2.VERSION}, unless it is there")
        found.append(goflow2.Goflow2(goflow2.build(cache), folder, broker))
    except goflow2.NotBuilt as error:
        say(f"SKIPPED goflow2: {error}")
    if nfcapd.is_installed():
        found.append(nfcapd.Nfcapd(folder))
    else:
        say("SKIPPED nfcapd: it is not installed (Debian's package nfdump)")
    return found


def prepare(folder: Path, plan: Plan, shared: Path, now: datetime, say: Say) -> dict[str, Prepared]:
    """Write the datagrams of all loads, one file per load and rate."""
    prepared = {}
    for load in LOADS:
        for rate in sorted({rates[load.name] for rates in RATES.values()}):
            packets = make_packets(
                load, int(rate * plan.send_s), now_ms=int(now.timestamp() * 1000)
            )
            file = folder / f"{load.name}-{rate:.0f}.npz"
            save_packets(file, packets)
            flows = sum(packet.flows for packet in packets)
            prepared[f"{load.name}@{rate:.0f}"] = Prepared(file, flows, len(packets))
    real = captures.read_captures(shared / "captures")
    if real:
        file = folder / "captures.npz"
        save_packets(file, real)
        prepared[captures.NAME] = Prepared(file, len(real), len(real))
    else:
        say("SKIPPED real captures: no folder captures/ in STEADFLOW_SHARED")
    return prepared


def measure_collectors(
    measured: list[Tool], prepared: dict[str, Prepared], say: Say, label: str
) -> dict[tuple[str, str], Round]:
    """Run one round: every load to every tool in turn. (load, tool) -> figures."""
    found = {}
    try:
        for tool in measured:
            tool.start()
        for load in LOADS:
            for tool in measured:
                rate = RATES[tool.name][load.name]
                made = run_round(tool, prepared[f"{load.name}@{rate:.0f}"], flows_per_s=rate)
                found[load.name, tool.name] = made
            told = ", ".join(
                f"{tool.name} {found[load.name, tool.name].flows_per_cpu_s / 1e6:.2f} M"
                for tool in measured
            )
            say(f"{label} {load.name}: {told} flows per CPU-second")
        if captures.NAME in prepared:
            for tool in measured:
                made = run_round(tool, prepared[captures.NAME], flows_per_s=CAPTURE_FLOWS_PER_S)
                found[captures.NAME, tool.name] = made
    finally:
        for tool in measured:
            tool.stop()
    return found


def measure(plan: Plan, cache: Path, shared: Path, say: Say) -> figures.Json:
    """Measure everything in a folder that is removed afterwards; return the result."""
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="steadflow-bench-") as name:
        folder = Path(name)
        say("starting Kafka")
        broker = Broker.alone(folder / "kafka", port=free_port(row=2))
        broker.start()
        try:
            # All of them now: a broker that was just held still makes no topics for a moment.
            topics = [*TOPICS, Topic(goflow2.TOPIC, "none", 4, timedelta(hours=1))]
            asyncio.run(ensure_topics(broker.brokers, topics))
            measured = tools(folder, broker, cache, say)
            say("inventing traffic")
            prepared = prepare(folder, plan, shared, now, say)
            rounds: list[dict[tuple[str, str], Round]] = []
            stored: list[Stored] = []
            for number in range(plan.rounds):
                label = f"round {number + 1} of {plan.rounds}:"
                rounds.append(measure_collectors(measured, prepared, say, label))
                if number == 0:
                    # The log holds one round now; later ones would only make this longer.
                    for again in range(plan.central_rounds):
                        stored.append(run_central(folder / "central", broker))
                        rate = stored[-1].rows / stored[-1].cpu_s
                        say(
                            f"Kafka to store, {again + 1} of {plan.central_rounds}: "
                            f"{rate / 1e6:.2f} M flows per CPU-second"
                        )
        finally:
            broker.stop()
        say("report times")
        times = run_reports(
            folder / "reports", hours=plan.hours, rounds=plan.report_rounds, now=now, say=say
        )
    loads = {
        load.name: {
            tool.name: figures.of_tool([each[load.name, tool.name] for each in rounds])
            for tool in measured
        }
        for load in LOADS
    }
    result: figures.Json = {
        "mode": plan.mode,
        "measured_on": now.date().isoformat(),
        "machine": machine.facts(),
        "collectors": loads,
        "ratios": figures.ratios(loads),
        "central": figures.of_central(stored),
        "reports": {name: asdict(each) for name, each in times.items()},
    }
    if captures.NAME in prepared:
        result["captures"] = {
            tool.name: figures.of_capture([each[captures.NAME, tool.name] for each in rounds])
            for tool in measured
        }
    return result


def main() -> int:
    """Run, print the figures and what moved, and write them down."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--quick", action="store_true", help="about 2 minutes, for a first look")
    parser.add_argument("--out", type=Path, help="where the result is written")
    options = parser.parse_args()
    plan = QUICK if options.quick else FULL
    say = Progress()
    shared = Path(os.environ.get("STEADFLOW_SHARED") or ROOT.parent / "shared")
    result = measure(plan, ROOT / ".tools" / "goflow2", shared, say)
    sys.stdout.write(show(result))
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    lines = figures.moved(before, result)
    same_mode = before.get("mode") == result["mode"]
    title = f"moved by more than {figures.NOISE:.0%} against the committed result"
    none = "nothing" if same_mode else "cannot be compared: no committed result of this mode"
    sys.stdout.write(f"\n{title}:\n" + "".join(f"  {line}\n" for line in lines or [none]))
    out = options.out or (RESULTS if plan is FULL else ROOT / "dist" / "bench-quick.json")
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    if out.resolve() == RESULTS:
        PAGE.write_text(with_tables(PAGE.read_text(), result))
    say("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())

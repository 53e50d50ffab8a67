"""What a soak says at its end: verdicts with their reasons, as JSON and as tables."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.soak_judgement import FILES, LAG_S, MEMORY, MIB, Trend, trends

JVM = "broker"
JVM_BYTES_MAX = 768 * MIB
"""A JVM takes what its heap may have (512 MiB, `cli/broker.py`) before it collects in full: its
memory is judged by its bound, not by its slope."""
FILES_A_THREAD, FILES_BESIDE = 3, 150
"""chDB keeps three files of /proc open for each thread that ever ran a query: their number rises
towards this for hours, though threads stay."""
SUMS = ("flows", "bytes", "packets")
HEAD = ("process", "PSS, MiB, at first", "at last", "slope, MiB/h", "largest", "CPU, %", "flat")


@dataclass(frozen=True, slots=True)
class Process:
    """One process at one instant. cpu_s: used since its start, all threads."""

    pid: int
    rss_bytes: int
    pss_bytes: int
    files: int
    threads: int
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Sample:
    """The system at one instant. lag_s, lag_records: by service. disk_bytes: by folder."""

    at_s: float
    processes: Mapping[str, Process]
    lag_s: Mapping[str, float]
    lag_records: Mapping[str, float]
    spool_bytes: float
    disk_bytes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that must hold, and what was seen."""

    what: str
    holds: bool
    seen: str


@dataclass(frozen=True, slots=True)
class Report:
    """All that a soak found."""

    about: Mapping[str, Any]  # JSON
    memory: Mapping[str, Trend]
    files: Mapping[str, Trend]
    lag_s: Mapping[str, Trend]
    cpu_share: Mapping[str, float]
    counts: Mapping[str, Mapping[str, int]]
    findings: Sequence[Finding]

    @property
    def holds(self) -> bool:
        """Whether all that must hold does."""
        return all(finding.holds for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return everything, in bytes and seconds."""
        return asdict(self)


def report(
    samples: Sequence[Sample],
    counts: Mapping[str, Mapping[str, int]],
    about: Mapping[str, Any],
    *,
    warm_up_s: float,
) -> Report:
    """Judge a soak. counts: flows, bytes, packets of the sender and of each central."""
    memory = trends(
        ((s.at_s, {n: p.pss_bytes for n, p in s.processes.items()}) for s in samples),
        from_s=warm_up_s,
    )
    files = trends(
        ((s.at_s, {n: p.files for n, p in s.processes.items()}) for s in samples), from_s=warm_up_s
    )
    lag_s = trends(((s.at_s, s.lag_s) for s in samples), from_s=warm_up_s)
    return Report(
        about=about,
        memory=memory,
        files=files,
        lag_s=lag_s,
        cpu_share=_cpu_shares(samples, warm_up_s),
        counts=counts,
        findings=[
            _equal(counts),
            _same_processes(samples),
            *(_memory(name, each) for name, each in memory.items()),
            *(_files(name, each, samples[-1].processes) for name, each in files.items()),
            *(
                Finding(f"lag of {name} is flat", each.is_flat(LAG_S), f"{each.rise:+.2f} s")
                for name, each in lag_s.items()
            ),
        ],
    )


def table(found: Report) -> str:
    """Return the memory of every process and the counts, as Markdown."""
    memory = [
        (
            name,
            f"{each.first / MIB:.1f}",
            f"{each.last / MIB:.1f}",
            f"{each.per_hour / MIB:+.1f}",
            f"{each.largest / MIB:.1f}",
            f"{found.cpu_share.get(name, 0) * 100:.1f}",
            _verdict(name, each),
        )
        for name, each in found.memory.items()
    ]
    counted = [(name, *(f"{sums[key]:,}" for key in SUMS)) for name, sums in found.counts.items()]
    lag = [(n, f"{t.mean:.2f}", f"{t.largest:.2f}") for n, t in found.lag_s.items()]
    return "\n\n".join(
        [
            _markdown(HEAD, memory),
            _markdown(("counted by", *SUMS), counted),
            _markdown(("lag of", "mean, s", "largest, s"), lag),
        ]
    )


def _memory(name: str, each: Trend) -> Finding:
    if name == JVM:
        is_bounded = each.largest < JVM_BYTES_MAX
        return Finding(
            f"memory of {name} is below {JVM_BYTES_MAX // MIB} MiB", is_bounded, _mib(each)
        )
    return Finding(f"memory of {name} is flat", each.is_flat(MEMORY), _mib(each))


def _files(name: str, each: Trend, processes: Mapping[str, Process]) -> Finding:
    threads = processes[name].threads if name in processes else 0
    most = FILES_BESIDE + FILES_A_THREAD * threads
    holds = each.is_flat(FILES) or each.largest <= most
    seen = f"{each.rise:+.0f}, largest {each.largest:.0f}, {threads} threads"
    return Finding(f"open files of {name} stay, or below {most}", holds, seen)


def _verdict(name: str, each: Trend) -> str:
    if not _memory(name, each).holds:
        return "**no**"
    return "yes" if each.is_flat(MEMORY) else "below its bound"


def _equal(counts: Mapping[str, Mapping[str, int]]) -> Finding:
    sums = [tuple(each[name] for name in SUMS) for each in counts.values()]
    seen = ", ".join(f"{name} {each['flows']:,}" for name, each in counts.items())
    return Finding("sender and centrals count the same", len(set(sums)) == 1, f"flows: {seen}")


def _same_processes(samples: Sequence[Sample]) -> Finding:
    pids: dict[str, set[int]] = {}
    for sample in samples:
        for name, process in sample.processes.items():
            pids.setdefault(name, set()).add(process.pid)
    again = [name for name, seen in pids.items() if len(seen) > 1]
    return Finding("no process was started again", not again, ", ".join(again) or "none was")


def _cpu_shares(samples: Sequence[Sample], from_s: float) -> dict[str, float]:
    judged = [sample for sample in samples if sample.at_s >= from_s]
    if len(judged) < 2:
        return {}
    first, last = judged[0], judged[-1]
    seconds = last.at_s - first.at_s
    return {
        name: (last.processes[name].cpu_s - process.cpu_s) / seconds
        for name, process in first.processes.items()
        if name in last.processes and last.processes[name].pid == process.pid
    }


def _mib(each: Trend) -> str:
    return f"{each.rise / MIB:+.1f} MiB on {each.mean / MIB:.1f}, {each.per_hour / MIB:+.1f} MiB/h"


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

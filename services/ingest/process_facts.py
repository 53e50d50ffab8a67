"""What the collector's processes cost, read from /proc of Linux."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """cpu_s: used since its start, all threads. resident_bytes: pages in memory, shared too."""

    cpu_s: float
    resident_bytes: int


def process_facts(pid: int) -> ProcessFacts | None:
    """Return what a process costs; None when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # proc(5): utime, stime and rss are fields 14, 15 and 24; the name, field 2, may hold spaces.
    fields = text.rpartition(")")[2].split()
    return ProcessFacts(
        cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS_PER_S,
        resident_bytes=int(fields[21]) * _PAGE_BYTES,
    )

"""What processes cost, and how they are started and ended: read from /proc of Linux."""

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from shared.parent import die_with_parent

ROOT = Path(__file__).parent.parent
_TICKS = os.sysconf("SC_CLK_TCK")
_STOP_S = 120.0


def start(
    command: Sequence[str | Path],
    *,
    log: Path,
    settings: Mapping[str, object] | None = None,
    prefix: str = "",
) -> "subprocess.Popen[bytes]":
    """Start a process that ends with this one. settings: as environment, behind `prefix`."""
    env = {f"{prefix}{name.upper()}": str(value) for name, value in (settings or {}).items()}
    with log.open("ab") as file:
        return subprocess.Popen(
            [str(part) for part in command],
            cwd=ROOT,
            env=os.environ | env,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            preexec_fn=partial(die_with_parent, os.getpid()),
        )


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End it, by force when it takes too long."""
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def cpu_s(pids: Iterable[int]) -> float:
    """Return the CPU-seconds, user and system, that these processes have used, all threads."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # proc(5): utime and stime are fields 14 and 15; the name before them may hold spaces.
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS


def unread_bytes(port: int) -> int:
    """Return what lies unread in the socket buffers of a UDP port."""
    total = 0
    for family in ("udp", "udp6"):
        for line in Path(f"/proc/net/{family}").read_text().splitlines()[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port:
                total += int(fields[4].rpartition(":")[2], 16)
    return total

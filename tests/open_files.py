"""What this process has open, but for what the embedded engine keeps."""

import os
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

_OF_THREADS = "/proc/"
"""Each thread of chDB that ever ran a statement keeps three such files, and an engine that is
opened anew begins some threads more; a central opens one in its life."""


def open_files() -> Counter[str]:
    """Return how many there are of each: a path, or a kind as `socket`."""
    found: Counter[str] = Counter()
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            name = os.readlink(f"/proc/self/fd/{number}")
            if not name.startswith(_OF_THREADS) and not _is_code(name):
                found[name if name.startswith("/") else name.partition(":")[0]] += 1
    return found


def _is_code(name: str) -> bool:
    """Whether the engine keeps it to name the frames of an exception: opened once, at the first."""
    return ".so" in Path(name).suffixes or Path(name) == Path(sys.executable).resolve()

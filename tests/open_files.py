"""What this process has open, but for what the embedded engine keeps for its threads."""

import os
from collections import Counter
from contextlib import suppress

_OF_THREADS = "/proc/"
"""Each thread of chDB that ever ran a statement keeps three such files, and an engine that is
opened anew begins some threads more; a central opens one in its life."""


def open_files() -> Counter[str]:
    """Return how many there are of each: a path, or a kind as `socket`."""
    found: Counter[str] = Counter()
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            name = os.readlink(f"/proc/self/fd/{number}")
            if not name.startswith(_OF_THREADS):
                found[name if name.startswith("/") else name.partition(":")[0]] += 1
    return found

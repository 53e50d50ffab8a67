"""What this machine is: asked of the operating system."""

import os
import platform
import shutil
import time
from pathlib import Path

from shared.machine import Machine
from shared.release import RELEASE


def this_machine(data_dir: Path, *, now_ms: int) -> Machine:
    """Return what this machine is. data_dir: need not be there yet. Blocking."""
    there = data_dir.absolute()
    while not there.exists():
        there = there.parent
    return Machine(
        release=RELEASE,
        os_family=platform.system(),
        architecture=platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        disk_free_bytes=shutil.disk_usage(there).free,
        utc_offset_s=time.localtime(now_ms / 1000).tm_gmtoff,
        now_ms=now_ms,
    )

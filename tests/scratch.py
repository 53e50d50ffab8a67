"""Prints the folder that tests work in: in memory where there is room for it, else on the disk.

Brokers and stores wait for the disk at every write. What `kill -9` may lose is the same in either
place: only a machine without power would lose more.
"""

import shutil
import tempfile
from pathlib import Path

import psutil

MEMORY = Path("/dev/shm")
ROOM_BYTES = 6 * 1024**3
AVAILABLE_BYTES = 12 * 1024**3
"""Of the machine's memory: a run's files are some 1.5 GB, its processes take the most."""


def main() -> None:
    """Make the folder, and print its path."""
    has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM_BYTES
    is_free = psutil.virtual_memory().available >= AVAILABLE_BYTES
    place = MEMORY if has_room and is_free else None
    folder = Path(tempfile.mkdtemp(prefix="steadflow-tests-", dir=place))
    # PostgreSQL refuses to be root: as somebody else it has to come to its own folder in this one.
    folder.chmod(0o711)
    print(folder)


if __name__ == "__main__":
    main()

"""Whether the embedded engine's parts are whole on the disk.

chDB 26.9 ignores a failed write(2): with the disk full it takes an insert as done and keeps a
truncated part, in silence. So little space is refused before, and what was written is measured
after: a part knows how large its files should be.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.central.store.errors import StoreAway, StoreError
from services.central.store.purposes import WorkClient

FREE_BYTES = 256 * 1024 * 1024
"""Below this nothing is written: several times what an insert and the merges beside it need."""

# Files of a part that its own sum of sizes leaves out; they are small and must not be empty.
_NOT_IN_THE_SUM = frozenset(
    {
        "checksums.txt",
        "columns.txt",
        "columns_substreams.txt",
        "default_compression_codec.txt",
        "metadata_version.txt",
        "uuid.txt",
        "txn_version.txt",
    }
)

_PARTS = (
    "SELECT name, path, bytes_on_disk FROM system.parts WHERE active "
    "AND database = currentDatabase() AND table = {table:String}"
)


class EmbeddedDisk:
    """The disk under an embedded engine's folder."""

    def __init__(self, client: WorkClient, folder: Path, free_bytes: int) -> None:
        """Use `client` from the thread that inserts; free_bytes: what must stay free."""
        self._client = client
        self._folder = folder
        self._free_bytes = free_bytes
        self._whole: dict[str, set[str]] = {}

    @contextmanager
    def measured(self, table: str) -> Iterator[None]:
        """Enclose what writes to `table`. Raises StoreAway when the disk is, or became, full."""
        self._ensure_space()
        self._note_parts(table)
        yield
        self._drop_broken(table)

    def _ensure_space(self) -> None:
        free = os.statvfs(self._folder)
        free_bytes = free.f_bavail * free.f_frsize
        if free_bytes < self._free_bytes:
            needed = f"{self._free_bytes // 2**20} MiB must stay free at {self._folder}"
            raise StoreAway(f"{needed}, {free_bytes // 2**20} are")

    def _note_parts(self, table: str) -> None:
        # What was there before was measured by the engine when it loaded it.
        if table not in self._whole:
            self._whole[table] = {name for name, _, _ in self._parts(table)}

    def _drop_broken(self, table: str) -> None:
        parts = self._parts(table)
        known = self._whole.get(table, set())
        broken = [
            name
            for name, path, size_bytes in parts
            if name not in known and not is_whole(path, size_bytes)
        ]
        self._whole[table] = {name for name, _, _ in parts} - set(broken)
        # The last number of a name is how often the part was merged. A merge's sources are kept for
        # some minutes: a new start drops the truncated part and takes them back, a DROP would not.
        if merged := [name for name in broken if not name.endswith("_0")]:
            raise StoreError(f"{table}: a merge was truncated on the disk: {', '.join(merged)}")
        for name in broken:
            self._client.command(f"ALTER TABLE {table} DROP PART '{name}'")
        if broken:
            raise StoreAway(f"{table}: truncated on the disk and dropped: {', '.join(broken)}")

    def _parts(self, table: str) -> list[tuple[str, Path, int]]:
        rows = self._client.rows(_PARTS, {"table": table})
        return [(str(name), Path(path), int(size_bytes)) for name, path, size_bytes in rows]


def is_whole(part: Path, size_bytes: int) -> bool:
    """Tell whether the files of a part have the size they were written with.

    A part that a merge took away meanwhile is no concern.
    """
    found_bytes = 0
    try:
        for file in part.rglob("*"):
            size = 0 if file.is_dir() else file.stat().st_size
            if file.name not in _NOT_IN_THE_SUM:
                found_bytes += size
            elif not size:
                return False
    except FileNotFoundError:
        return True
    return found_bytes >= size_bytes or not part.exists()

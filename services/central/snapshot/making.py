"""Making a snapshot of the embedded store and database while inserts go on. Blocking.

The folder that comes out is the one a standby downloads, file by file under the same names.
"""

import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from services.central.snapshot.parts import attach, table_folder
from services.central.snapshot.tables import HASHES, measure_parts, store_revision
from services.central.store.errors import StoreError
from services.central.store.purposes import WorkClient
from shared.release import RELEASE
from shared.snapshot import (
    MANIFEST,
    METADATA,
    Manifest,
    SnapshotFile,
    SnapshotPosition,
    SnapshotTable,
    encode_manifest,
    parts_of,
)
from shared.snapshot_folder import sha256_of, write_whole

CHECK_DATABASE = "snapshot_check"
"""Where the frozen parts are attached for a moment, to be counted while the store goes on."""

_FROZEN = "snapshot_"
_TRIES = 5
_POSITIONS = """
SELECT topic, topic_id, partition, next_offset FROM positions
UNION ALL SELECT topic, topic_id, 0, next_offset FROM settings_position ORDER BY topic, partition
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """What snapshots are made of: the folder of the embedded store, and the SQLite file."""

    store: Path
    metadata: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is copied before what. Only a negative control changes it."""

    metadata_first: bool = True
    tables: Sequence[str] = tuple(HASHES)


def make(
    origin: Origin,
    folder: Path,
    *,
    snapshot_id: str,
    made_for: str,
    made_at_ms: int,
    before_step: Callable[[str], None] = lambda step: None,
    on_bytes: Callable[[int, int], None] = lambda done, total: None,
    order: Order | None = None,
) -> Manifest:
    """Make a snapshot in `folder`, which must not exist, and return its manifest.

    Inserts wait for nothing: freezing takes ms and makes hard links. Hashing the files and rows
    takes one processor for as long as reading all of it takes. before_step: called with the name
    of each step, on_bytes with the bytes hashed and those to hash; what they raise ends the work.
    Raises StoreError, sqlite3.Error or OSError; `remove_leftovers` then tidies up.
    """
    order = order or Order()
    folder.mkdir(parents=True)
    client = WorkClient(str(origin.store))
    client.open()
    try:
        name = f"{_FROZEN}{snapshot_id}"
        for _ in range(_TRIES):
            _copy(client, origin, folder, name, order, before_step)
            if _newest_repair(folder / METADATA) == _newest_repair(origin.metadata):
                break
            shutil.rmtree(origin.store / "shadow" / name, ignore_errors=True)
        else:
            raise StoreError(f"in {_TRIES} tries a repair began while the store was frozen")
        before_step("take")
        for table in HASHES:
            _take(client, origin.store, name, table, folder)
        shutil.rmtree(origin.store / "shadow" / name, ignore_errors=True)
        before_step("hash")
        files = _hash(folder, on_bytes)
        tables = _measure(client, folder, files, before_step)
        revision = store_revision(client)
    finally:
        client.close()
    positions, metadata_revision = _read_metadata(folder / METADATA)
    manifest = Manifest(
        id=snapshot_id,
        made_for=made_for,
        made_at_ms=made_at_ms,
        release=RELEASE,
        store_revision=revision,
        metadata_revision=metadata_revision,
        positions=positions,
        tables=tables,
        files=files,
    )
    before_step("manifest")
    write_whole(folder / MANIFEST, encode_manifest(manifest))
    return manifest


def remove_leftovers(origin: Origin) -> None:
    """Remove what a killed `make` left inside the store. None may be running."""
    for shadow in (origin.store / "shadow").glob(f"{_FROZEN}*"):
        shutil.rmtree(shadow, ignore_errors=True)
    client = WorkClient(str(origin.store))
    client.open()
    try:
        client.command(f"DROP DATABASE IF EXISTS {CHECK_DATABASE} SYNC")
    finally:
        client.close()


def copy_metadata(source: Path, target: Path) -> None:
    """Copy a database that is in use, as it is at one moment, into one file."""
    with closing(sqlite3.connect(source)) as original, closing(sqlite3.connect(target)) as copy:
        original.backup(copy)
        # A copy in WAL mode would be three files as soon as somebody reads it.
        copy.execute("PRAGMA journal_mode=DELETE")


def _copy(
    client: WorkClient,
    origin: Origin,
    folder: Path,
    name: str,
    order: Order,
    before_step: Callable[[str], None],
) -> None:
    def copy() -> None:
        before_step("metadata")
        copy_metadata(origin.metadata, folder / METADATA)

    if order.metadata_first:
        copy()
    for table in order.tables:
        before_step(f"freeze {table}")
        client.command(f"ALTER TABLE {table} FREEZE WITH NAME '{name}'")
    if not order.metadata_first:
        copy()


def _newest_repair(metadata: Path) -> int:
    """Return the number of the newest repair.

    One is noted before it deletes a row. A note that is in the copy goes on where the snapshot is
    restored; one that is not would leave half a minute that counts as whole.
    """
    with closing(sqlite3.connect(metadata)) as database:
        ((number,),) = database.execute("SELECT coalesce(max(number), 0) FROM repairs")
        return int(number)


def _take(client: WorkClient, store: Path, name: str, table: str, folder: Path) -> None:
    """Move what FREEZE linked into the snapshot's own folder."""
    target = folder / "store" / table
    target.parent.mkdir(exist_ok=True)
    frozen = store / "shadow" / name / table_folder(client, table).relative_to(store)
    # An empty table has none.
    if frozen.exists():
        frozen.rename(target)
    else:
        target.mkdir()


def _hash(folder: Path, on_bytes: Callable[[int, int], None]) -> tuple[SnapshotFile, ...]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    sizes = {path: path.stat().st_size for path in paths}
    total_bytes, done_bytes = sum(sizes.values()), 0

    def hashed(count: int) -> None:
        nonlocal done_bytes
        done_bytes += count
        on_bytes(done_bytes, total_bytes)

    return tuple(
        SnapshotFile(
            name=path.relative_to(folder).as_posix(),
            size_bytes=sizes[path],
            sha256=sha256_of(path, hashed),
        )
        for path in paths
    )


def _measure(
    client: WorkClient,
    folder: Path,
    files: Sequence[SnapshotFile],
    before_step: Callable[[str], None],
) -> tuple[SnapshotTable, ...]:
    """Count and hash the rows of the frozen parts, whatever became of the store meanwhile."""
    tables = []
    client.command(f"DROP DATABASE IF EXISTS {CHECK_DATABASE} SYNC")
    client.command(f"CREATE DATABASE {CHECK_DATABASE}")
    for table in HASHES:
        client.command(f"CREATE TABLE {CHECK_DATABASE}.{table} AS {table}")
        client.command(f"SYSTEM STOP MERGES {CHECK_DATABASE}.{table}")
        parts = parts_of(table, (file.name for file in files))
        for part in attach(client, table, parts, folder=folder, database=CHECK_DATABASE):
            before_step(f"check {table}/{part}")
        checked = partial(before_step, f"check {table}")
        tables.append(measure_parts(client, table, database=CHECK_DATABASE, before_part=checked))
    client.command(f"DROP DATABASE {CHECK_DATABASE} SYNC")
    return tuple(tables)


def _read_metadata(path: Path) -> tuple[tuple[SnapshotPosition, ...], str]:
    with closing(sqlite3.connect(path)) as database:
        positions = tuple(
            SnapshotPosition(topic=topic, topic_id=topic_id, partition=number, next_offset=offset)
            for topic, topic_id, number, offset in database.execute(_POSITIONS)
        )
        ((revision,),) = database.execute("SELECT version_num FROM alembic_version")
        return positions, str(revision)

"""Restoring a downloaded snapshot before a central opens its store. Blocking."""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from services.central.metadata import database
from services.central.snapshot.making import Origin
from services.central.snapshot.parts import attach
from services.central.snapshot.restore_plan import Action, Found, decide
from services.central.snapshot.tables import HASHES, measure
from services.central.store import migrate
from services.central.store.clients import sqlalchemy_engine
from services.central.store.errors import StoreError
from services.central.store.purposes import WorkClient
from shared.config import ConfigError
from shared.release import RELEASE
from shared.snapshot import METADATA, Manifest, SnapshotError, parts_of, why_not
from shared.snapshot_folder import is_complete, sync_folder, verify, write_whole

log = logging.getLogger(__name__)

RESTORE = "restore"
"""Folder in a central's data_dir that holds a downloaded snapshot."""
REPLACE = "replace"
"""File in a central's data_dir: the snapshot there takes the place of a store with rows."""
_RESTORED = "restored"
_RESTORING = "restoring"


def restore_if_asked(
    data_dir: Path,
    origin: Origin | None,
    *,
    before_step: Callable[[str], None] = lambda step: None,
) -> bool:
    """Restore a complete snapshot in `data_dir/restore`; tell whether one was.

    Killed at any point, the next call begins anew or finishes. origin: the store to fill and the
    database to put in place; None where one of them is by URL. before_step: a test raises there in
    place of a kill. Raises ConfigError with one sentence; then nothing of the snapshot is used.
    """
    _tidy(data_dir, before_step)
    folder, mark = data_dir / RESTORE, data_dir / _RESTORING
    complete, begun = is_complete(folder), mark.exists()
    replaces = (data_dir / REPLACE).exists()
    is_counted = complete and not begun and not replaces
    rows = _rows(origin) if origin is not None and is_counted else 0
    action, why = decide(
        Found(
            is_complete=complete,
            was_begun=begun,
            is_embedded=origin is not None,
            is_replacing=replaces,
            rows=rows,
        )
    )
    if action is Action.REFUSE:
        raise ConfigError(f"{data_dir}: {why}")
    if action is Action.OPEN or origin is None:
        return False
    try:
        _restore(folder, mark, origin, before_step)
    except SnapshotError as error:
        raise ConfigError(f"{folder}: {error}") from error
    except (StoreError, OSError) as error:
        text = str(error).partition("\n")[0]
        raise ConfigError(f"{folder}: the snapshot cannot be restored: {text}") from error
    before_step("finish")
    folder.rename(data_dir / _RESTORED)
    sync_folder(data_dir)
    _tidy(data_dir, before_step)
    return True


def _restore(folder: Path, mark: Path, origin: Origin, before_step: Callable[[str], None]) -> None:
    before_step("verify")
    manifest = verify(folder)
    if refusal := _why_not(manifest):
        raise SnapshotError(refusal)
    log.info("restoring a snapshot id=%s bytes=%d", manifest.id, manifest.total_bytes)
    before_step("mark")
    write_whole(mark, manifest.id.encode())
    before_step("wipe")
    _wipe(origin)
    before_step("migrate")
    origin.store.mkdir(parents=True)
    engine = sqlalchemy_engine(str(origin.store))
    try:
        migrate.upgrade(engine)
    finally:
        engine.dispose()
    client = WorkClient(str(origin.store))
    client.open()
    try:
        for table in manifest.tables:
            parts = parts_of(table.name, (file.name for file in manifest.files))
            for part in attach(client, table.name, parts, folder=folder):
                before_step(f"attach {table.name}/{part}")
        before_step("check")
        _check(client, manifest)
    finally:
        client.close()
    before_step("metadata")
    shutil.copyfile(folder / METADATA, origin.metadata)
    before_step("sync")
    # The engine links and renames without it, and the snapshot goes away now.
    os.sync()


def _why_not(manifest: Manifest) -> str:
    if strangers := {table.name for table in manifest.tables} ^ HASHES.keys():
        return f"the snapshot and this release differ in tables: {', '.join(sorted(strangers))}"
    return why_not(
        manifest,
        release=RELEASE,
        store_revision=migrate.newest_revision(),
        metadata_revision=database.newest_revision(),
    )


def _check(client: WorkClient, manifest: Manifest) -> None:
    for table in manifest.tables:
        found = measure(client, table.name)
        if found != table:
            raise SnapshotError(
                f"table {table.name} has {found.rows} rows of digest {found.digest} instead of "
                f"{table.rows} of {table.digest}"
            )


def _rows(origin: Origin) -> int:
    """Count the rows of a store that may not be there yet."""
    if not origin.store.exists():
        return 0
    client = WorkClient(str(origin.store))
    client.open()
    try:
        tables = client.rows(
            "SELECT sum(total_rows) FROM system.tables "
            "WHERE database = currentDatabase() AND name IN {tables:Array(String)}",
            {"tables": list(HASHES)},
        )
        return int(tables[0][0] or 0)
    finally:
        client.close()


def _wipe(origin: Origin) -> None:
    if origin.store.exists():
        shutil.rmtree(origin.store)
    for suffix in ("", "-wal", "-shm"):
        origin.metadata.with_name(f"{origin.metadata.name}{suffix}").unlink(missing_ok=True)


def _tidy(data_dir: Path, before_step: Callable[[str], None]) -> None:
    """Remove what a finished restore leaves."""
    restored = data_dir / _RESTORED
    if restored.exists():
        before_step("unmark")
        (data_dir / REPLACE).unlink(missing_ok=True)
        (data_dir / _RESTORING).unlink(missing_ok=True)
        before_step("remove")
        shutil.rmtree(restored)

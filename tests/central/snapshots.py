"""A store and a database in a folder, fed by hand: what snapshots are made of and restored to."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from services.central.applier import Applier
from services.central.messages import Message
from services.central.metadata.database import migrate, open_database
from services.central.metadata.hints import Hints
from services.central.metrics import CentralMetrics
from services.central.snapshot.making import Origin, make
from services.central.snapshot.restore import RESTORE
from services.central.snapshot.tables import HASHES, measure
from services.central.store import FlowStore
from shared.health import Health
from shared.snapshot import Manifest, SnapshotTable
from shared.snapshot_folder import mark_complete
from tests.central.stream_messages import facts_of

MADE_AT_MS = 1_700_010_000_000


def origin_of(data_dir: Path) -> Origin:
    return Origin(store=data_dir / "store", metadata=data_dir / "metadata.db")


@contextmanager
def fed(
    data_dir: Path, before_step: Callable[[str], None] = lambda step: None
) -> Iterator[Applier]:
    """An applier on the store and database in `data_dir`, made where there are none."""
    data_dir.mkdir(exist_ok=True)
    database = open_database(f"sqlite:///{data_dir / 'metadata.db'}")
    migrate(database)
    store = FlowStore.open(str(data_dir / "store"))
    try:
        store.migrate()
        hints = Hints(database, "flows")
        yield Applier(
            store, hints, metrics=CentralMetrics(), health=Health(), before_step=before_step
        )
    finally:
        store.close()
        database.dispose()


def read(applier: Applier, log: Sequence[Message], *, at_once: int = 4) -> None:
    """Start at the position and apply the log to its end."""
    position = applier.start(facts_of(log))[0]
    rest = [message for message in log if message.place.offset >= position]
    for start in range(0, len(rest), at_once):
        assert not applier.apply(rest[start : start + at_once])


def snapshot_of(data_dir: Path, folder: Path, snapshot_id: str = "00000000000000aa") -> Manifest:
    return make(
        origin_of(data_dir),
        folder,
        snapshot_id=snapshot_id,
        made_for="central-b",
        made_at_ms=MADE_AT_MS,
    )


def as_downloaded(folder: Path, data_dir: Path) -> Path:
    """Put a snapshot where a central restores it from; return that place."""
    target = data_dir / RESTORE
    # What a download writes is its own: a test may damage it.
    shutil.copytree(folder, target)
    mark_complete(target)
    return target


def sums_of(store: FlowStore) -> dict[str, SnapshotTable]:
    return {table: measure(store._work, table) for table in HASHES}


def names_in(folder: Path) -> set[str]:
    return {os.path.relpath(path, folder) for path in folder.rglob("*") if path.is_file()}

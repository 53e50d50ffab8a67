"""The engine's folders: where a table's data lies, and how part folders become rows of it.

chDB lays a table out as `store/ID/…/PART/FILE` below its own folder, FREEZE as the same path below
`shadow/NAME/`, all of it hard links: a part never changes once it is written.
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from services.central.store.errors import StoreError
from services.central.store.purposes import WorkClient


def table_folder(client: WorkClient, table: str, *, database: str = "default") -> Path:
    """Return the folder of a table's parts."""
    rows = client.rows(
        "SELECT data_paths[1] FROM system.tables "
        "WHERE database = {database:String} AND name = {table:String}",
        {"database": database, "table": table},
    )
    if not rows:
        raise StoreError(f"there is no table {database}.{table}")
    return Path(str(rows[0][0]))


def attach(
    client: WorkClient,
    table: str,
    parts: Mapping[str, Sequence[str]],
    *,
    folder: Path,
    database: str = "default",
) -> Iterator[str]:
    """Attach parts to a table one by one; yield the name of each before it is done.

    parts: names of files below `folder` by part. `folder` keeps its files.
    """
    detached = table_folder(client, table, database=database) / "detached"
    for part, names in parts.items():
        yield part
        for name in names:
            # Below the part itself: store/TABLE/PART/...
            target = detached / Path(*Path(name).parts[2:])
            target.parent.mkdir(parents=True, exist_ok=True)
            link(folder / name, target)
        client.command(f"ALTER TABLE {database}.{table} ATTACH PART '{part}'")


def link(source: Path, target: Path) -> None:
    """Give a file that nobody will change another name; copy it where that cannot be."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        shutil.copyfile(source, target)

"""Which tables a snapshot holds, in which order, and what proves that they arrived."""

from collections.abc import Callable, Mapping
from typing import Final

from services.central.store import digests
from services.central.store.purposes import WorkClient
from shared.snapshot import SnapshotTable

HASHES: Final[Mapping[str, str]] = {
    "rollups": digests.rollup_row_hash(),
    "flows": digests.row_hash(),
    "losses": "cityHash64(stream, first, last, minute, exporter, reason, datagrams, flows)",
    "quarantine": "cityHash64(topic_id, partition, offset, seen_at, reason, bytes, prefix)",
}
"""SQL of a row's hash by table.

The order is that of freezing, so that a snapshot looks like a central that was killed. Roll-ups
before flows: of a minute that counts as closed all rows must be there, since no more are taken.
Flows before losses: a gap is noted before the rows behind it, which hide it from then on.
"""

# Reading a whole store must leave the other processors to inserts and reports.
_MODEST = "SETTINGS max_threads = 1"


def measure(client: WorkClient, table: str) -> SnapshotTable:
    """Count and hash all rows of `table`. Raises StoreError."""
    sql = f"SELECT count(), sumWithOverflow({HASHES[table]}) FROM {table} {_MODEST}"
    ((rows, digest),) = client.rows(sql)
    return SnapshotTable(name=table, rows=int(rows), digest=f"{int(digest):016x}")


def measure_parts(
    client: WorkClient, table: str, *, database: str, before_part: Callable[[], None]
) -> SnapshotTable:
    """Do as `measure`, part by part: a statement cannot be interrupted, what lies between can.

    The table must not be merged meanwhile. What before_part raises ends the work.
    """
    parts = client.rows(
        "SELECT name FROM system.parts WHERE active AND database = {database:String} "
        "AND table = {table:String}",
        {"database": database, "table": table},
    )
    sql = (
        f"SELECT count(), sumWithOverflow({HASHES[table]}) FROM {database}.{table} "
        f"WHERE _part = {{part:String}} {_MODEST}"
    )
    rows = digest = 0
    for (part,) in parts:
        before_part()
        ((part_rows, part_digest),) = client.rows(sql, {"part": str(part)})
        rows, digest = rows + int(part_rows), digest + int(part_digest)
    return SnapshotTable(name=table, rows=rows, digest=f"{digest % (1 << 64):016x}")


def store_revision(client: WorkClient) -> str:
    """Return the revision of the store's tables."""
    rows = client.rows("SELECT version_num FROM alembic_version ORDER BY version_num")
    return ",".join(str(row[0]) for row in rows)

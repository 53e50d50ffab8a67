"""What the books must say: the spool decoded afresh, against the raw rows of a store.

Run as `python -m tests.faults.audit STORE OUT` it checks the roll-ups of a stopped store and
writes its raw rows to an Arrow file: in a process of its own, because one chDB path belongs to one
process, and one process to one path.
"""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import clickhouse_connect
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from services.central.store.digests import row_hash
from services.central.store.rollups import DIMENSIONS, GROUPING_SETS, SUMS
from services.ingest.decode.decoding import DecoderState, RangeBuilder
from services.ingest.spool.format import RecordKind
from services.ingest.spool.reader import SPOOL_START, SpoolReader
from shared.flow_record import COLUMNS

ROOT = Path(__file__).parents[2]
READ_BYTES = 1 << 20


def spool_rows(directory: Path, collector: str) -> pa.Table:
    """Decode all that one worker's spool accepted, in one pass, from an empty state."""
    reader = SpoolReader(directory)
    state = DecoderState()
    tables: list[pa.Table] = []
    position = SPOOL_START
    while (chunk := reader.read(position, bytes_max=READ_BYTES)) is not None:
        if chunk.records:
            state.begin()
            builder = RangeBuilder(state, collector=collector, stream=chunk.header.stream)
            for record in chunk.records:
                if record.kind is RecordKind.DATAGRAM:
                    builder.add(
                        record.number,
                        record.received_at_ms,
                        record.exporter,
                        record.port,
                        record.payload,
                    )
            batch = builder.finish().batch
            if batch is not None:
                tables.append(pa.table(batch))
        if chunk.at_tail:
            break
        position = chunk.next
    reader.close()
    return full_columns(tables)


def full_columns(tables: Iterable[pa.Table]) -> pa.Table:
    """Return the tables as one, every column of the flow record there, absent ones filled."""
    filled = []
    for table in tables:
        columns = {}
        for column in COLUMNS:
            plain = pa.string() if pa.types.is_dictionary(column.arrow) else column.arrow
            if column.name in table.column_names:
                columns[column.name] = table[column.name].cast(plain)
            elif pa.types.is_timestamp(plain):
                columns[column.name] = pa.array(np.zeros(len(table), "i8")).cast(plain)
            else:
                absent = pa.scalar(column.absent, plain)
                columns[column.name] = pa.repeat(absent, len(table))
        filled.append(pa.table(columns))
    schema = pa.schema(
        [(c.name, pa.string() if pa.types.is_dictionary(c.arrow) else c.arrow) for c in COLUMNS]
    )
    return pa.concat_tables([schema.empty_table(), *filled])


def in_order(rows: pa.Table) -> pa.Table:
    """Return the rows sorted by everything, so that equal books are equal tables."""
    by_binary = [(c.name, "ascending") for c in COLUMNS]
    return rows.sort_by(by_binary).combine_chunks()


def store_rows(store: Path, out: Path) -> pa.Table:
    """Return the raw rows of a stopped central's embedded store, its roll-ups checked with them.

    Raises AssertionError naming each grouping set whose rows are not the sums over the raw rows.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.audit", str(store), str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with pa.ipc.open_file(out) as file:
        return full_columns([file.read_all()])


def markers(out: Path) -> list[dict[str, int]]:
    """Return the marker rows that `store_rows` noted beside the raw rows, in a fixed order."""
    with pa.ipc.open_file(out.with_suffix(".markers")) as file:
        rows: list[dict[str, int]] = file.read_all().to_pylist()
    return rows


def difference(expected: pa.Table, found: pa.Table) -> str:
    """Return one sentence on how the tables differ, empty when they are equal."""
    if in_order(expected).equals(in_order(found)):
        return ""
    sums = [
        f"{len(rows)} rows, {pc.sum(rows['bytes']).as_py()} bytes,"
        f" {pc.sum(rows['packets']).as_py()} packets"
        for rows in (expected, found)
    ]
    doubled = len(found) - len(found.group_by(found.column_names).aggregate([]))
    return f"expected {sums[0]}; found {sums[1]}; {doubled} rows stand more than once"


def wrong_rollups(client: Any) -> list[str]:  # a clickhouse-connect client, untyped
    """Return one sentence for each level and grouping set that is not the sum of the raw rows."""
    wrong = []
    for level, period in ((0, "toStartOfMinute"), (1, "toStartOfHour")):
        for each in GROUPING_SETS:
            keys = {name: sql for name, sql in DIMENSIONS.items() if name in each.dimensions}
            sums = SUMS | ({"digest": f"sumWithOverflow({row_hash()})"} if each.digest else {})
            from_raw = ", ".join(
                [f"{period}(received_at) AS at", "flows.stream AS in_stream"]
                + [f"{sql} AS k_{name}" for name, sql in keys.items()]
                + [f"{sql} AS v_{name}" for name, sql in sums.items()]
            )
            groups = ", ".join(["at", "in_stream", *(f"k_{name}" for name in keys)])
            from_rollups = ", ".join(
                ["starts_at AS at", "stream AS in_stream"]
                + [f"{name} AS k_{name}" for name in keys]
                + [f"{name} AS v_{name}" for name in sums]
            )
            # Each row must stand once on both sides: a doubled or missing one breaks the pair.
            unpaired = client.command(
                f"SELECT count() FROM (SELECT * FROM ("
                f"SELECT {from_raw} FROM flows GROUP BY {groups} UNION ALL "
                f"SELECT {from_rollups} FROM rollups "
                f"WHERE level = {level} AND grouping = {each.code}"
                f") GROUP BY ALL HAVING count() != 2)"
            )
            if unpaired:
                wrong.append(f"level {level}, {each.name}: {unpaired} rows without their pair")
    return wrong


def main() -> None:
    """Check a store's roll-ups, then write its raw rows and its marker rows to files."""
    store, out = (Path(argument) for argument in sys.argv[1:])
    client = clickhouse_connect.get_client(interface="chdb", path=str(store))
    wrong = wrong_rollups(client)
    if wrong:
        sys.exit("\n".join(wrong))
    marker_rows = client.query_arrow(
        "SELECT level, starts_at, stream, flows, bytes, packets, digest FROM rollups "
        "WHERE grouping = 0 ORDER BY ALL"
    )
    for path, rows in (
        (out, client.query_arrow("SELECT * FROM flows")),
        (out.with_suffix(".markers"), marker_rows),
    ):
        with pa.ipc.new_file(path, rows.schema) as file:
            file.write_table(rows)


if __name__ == "__main__":
    main()

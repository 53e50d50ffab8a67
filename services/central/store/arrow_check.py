"""What is checked of an Arrow stream before the store gets its bytes as they are."""

from collections.abc import Iterable

import pyarrow as pa

from services.central.store.errors import NotArrow, SchemaMismatch
from shared.flow_record import unknown_columns


def checked_schema(value: bytes, table_columns: Iterable[str]) -> pa.Schema:
    """Return the schema of flow records in `value`.

    Raises NotArrow, or SchemaMismatch when this release or the table lacks a column: an insert
    would drop it in silence.
    """
    try:
        schema = pa.ipc.open_stream(value).schema
    except (pa.ArrowException, OSError, EOFError) as error:
        raise NotArrow(f"no Arrow stream: {error}") from error
    if unknown := unknown_columns(schema):
        raise SchemaMismatch(unknown, where="this release")
    present = set(table_columns)
    if missing := [f"{field.name}: {field.type}" for field in schema if field.name not in present]:
        raise SchemaMismatch(missing, where="the table `flows`")
    return schema


def ensure_readable(value: bytes) -> None:
    """Read `value` whole; raises NotArrow. The verdict depends on the bytes alone."""
    try:
        for batch in pa.ipc.open_stream(value):
            batch.validate(full=True)
    except (pa.ArrowException, OSError, EOFError) as error:
        raise NotArrow(f"a broken Arrow stream: {error}") from error


def reach(value: bytes, number: str) -> dict[int, int]:
    """Return the largest `number` of each stream in `value`; only the two columns are read."""
    fields = pa.ipc.open_stream(value).schema
    wanted = [fields.get_field_index("stream"), fields.get_field_index(number)]
    options = pa.ipc.IpcReadOptions(included_fields=wanted)
    table = pa.ipc.open_stream(value, options=options).read_all()
    grouped = table.group_by("stream").aggregate([(number, "max")])
    streams, numbers = grouped["stream"].to_pylist(), grouped[f"{number}_max"].to_pylist()
    return {int(stream): int(last) for stream, last in zip(streams, numbers, strict=True)}

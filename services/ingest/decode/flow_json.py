"""Flow records as JSON texts: the names of the flow record, unknown and absent as null."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from shared.addresses import UNSPECIFIED, format_address
from shared.flow_record import ADDRESS, COLUMNS, INSTANT, Column

# Zero is "unknown" in these, as in the API's answers; elsewhere zero is a value.
_ZERO_IS_UNKNOWN = frozenset({"sampling_rate", "application"})
# Neither is a fact of a capture file.
_OF_THE_COLLECTOR = frozenset({"collector", "stream"})

Json = Any  # One JSON value.


def json_lines(batch: pa.RecordBatch) -> Iterator[str]:
    """Yield one JSON object per row of a decoded capture, all columns in their order."""
    columns = [_values(column, batch) for column in COLUMNS]
    names = [column.name for column in COLUMNS]
    for row in zip(*columns, strict=True):
        yield json.dumps(dict(zip(names, row, strict=True)))


def _values(column: Column, batch: pa.RecordBatch) -> list[Json]:
    convert = _conversion(column)
    if column.name in _OF_THE_COLLECTOR:
        return [None] * batch.num_rows
    if column.name not in batch.schema.names:
        return [convert(column.absent)] * batch.num_rows
    values = batch[column.name]
    if column.arrow == INSTANT:
        values = values.cast(pa.int64())
    return [convert(value) for value in values.to_pylist()]


def _conversion(column: Column) -> Callable[[Any], Json]:
    if column.arrow == INSTANT:
        return _instant
    if column.arrow == ADDRESS:
        return _address
    if column.name in ("src_mac", "dst_mac"):
        return _mac
    if column.name in _ZERO_IS_UNKNOWN:
        return _known
    if column.name == "direction":
        return _direction
    return _as_it_is


def _instant(value: int) -> str | None:
    if not value:
        return None
    seconds, milliseconds = divmod(value, 1000)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"


def _address(value: bytes) -> str | None:
    return None if value == UNSPECIFIED else format_address(value)


def _mac(value: int) -> str | None:
    return value.to_bytes(8, "big")[-6:].hex(":") if value else None


def _known(value: int) -> int | None:
    return value or None


def _direction(value: int) -> int | None:
    return None if value == 255 else value


def _as_it_is(value: Json) -> Json:
    return value

"""Answers of the store as JSON: the names of the flow record, addresses and times as text."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from services.central.instants import format_instant
from services.central.progress import Progress
from services.central.reports import Statement
from shared.addresses import UNSPECIFIED, format_address
from shared.flow_record import BY_NAME
from shared.losses import LossReason

Json = dict[str, Any]  # Any: one JSON value of a report's column.
_Convert = Callable[[Any], Any]  # Any: as above.

_ABSENT_AS_NULL: Final = ("sampling_rate", "application", "started_at", "ended_at")


def rows_of(table: pa.Table) -> list[Json]:
    """Return the rows of `table`, unknown and absent values as null."""
    columns = {name: _values(name, table[name]) for name in table.column_names}
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def encode(answer: Json) -> bytes:
    """Return `answer` as JSON.

    Its rows are encoded one by one: the encoder would not let another thread run meanwhile.
    """
    about = _dumps({name: value for name, value in answer.items() if name != "rows"})
    if "rows" not in answer:
        return about.encode()
    rows = ",".join(_dumps(row) for row in answer["rows"])
    rest = "}" if about == "{}" else f",{about[1:]}"
    return f'{{"rows":[{rows}]{rest}'.encode()


def _dumps(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def covered(statement: Statement) -> Json:
    """Return what an answer covers, as every report says it."""
    return {
        "from": format_instant(statement.from_ms),
        "to": format_instant(statement.to_ms),
        "source": statement.source,
        "notes": list(statement.notes),
    }


def open_streams(vector: Sequence[Progress]) -> Json:
    """Return the vector of open streams that an answer was made with."""
    return {
        stream_text(progress.stream): {
            "minutes_until": format_instant(progress.minutes_until_ms),
            "hours_until": format_instant(progress.hours_until_ms),
        }
        for progress in vector
    }


def losses_by_reason(rows: Sequence[Mapping[str, Any]]) -> Json:
    """Sum loss rows up by reason."""
    sums: dict[str, dict[str, int]] = {}
    for row in rows:
        total = sums.setdefault(row["reason"], {"datagrams": 0, "flows": 0})
        total["datagrams"] += row["datagrams"]
        total["flows"] += row["flows"]
    return sums


def stream_text(stream: int) -> str:
    """Return a stream as 16 hex digits: JSON readers lose 64-bit numbers."""
    return f"{stream:016x}"


def _values(name: str, column: pa.ChunkedArray) -> list[Any]:  # Any: JSON values.
    kind = column.type
    if pa.types.is_timestamp(kind):
        convert: _Convert = _instant
        column = column.cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64())
    elif pa.types.is_fixed_size_binary(kind):
        convert = _exporter if name == "exporter" else _address
    elif name in ("src_mac", "dst_mac"):
        convert = _mac
    elif name == "stream":
        convert = stream_text
    elif name == "reason":
        convert = _reason
    elif name == "at":
        convert = _seconds
    elif name == "direction":
        convert = _direction
    else:
        convert = _as_it_is
    values = column.to_pylist()
    if name in _ABSENT_AS_NULL and name in BY_NAME:
        return [convert(value) if value else None for value in values]
    return [convert(value) for value in values]


def _instant(value: int) -> str:
    return format_instant(value)


def _seconds(value: int) -> str:
    return format_instant(value * 1000)


def _exporter(value: bytes) -> str:
    return format_address(value)


def _address(value: bytes) -> str | None:
    return None if value == UNSPECIFIED else format_address(value)


def _mac(value: int) -> str | None:
    return value.to_bytes(6, "big").hex(":") if 0 < value < 1 << 48 else None


def _reason(value: int) -> str:
    try:
        return LossReason(value).label
    except ValueError:
        return f"reason_{value}"


def _direction(value: int) -> int | None:
    return None if value == 255 else value


def _as_it_is(value: Any) -> Any:  # Any: numbers and text.
    return value

"""Arrow streams cut by datagram and joined, for the rare overlap and for a backlog."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from shared.flow_record import COLUMNS, Column

PIECES_MAX = 100
"""Messages of one insert: as many collectors' names fit the 8-bit dictionary of the record."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The rows of one message that are to be inserted: those of datagrams above `after`.

    first, last: the message's range.
    """

    stream: int
    first: int
    last: int
    after: int
    rows: int
    columns: tuple[str, ...]
    value: bytes = field(repr=False)

    @property
    def is_whole(self) -> bool:
        """Whether no row of the message is left out."""
        return self.after < self.first


def token(pieces: Iterable[Piece], *, table: str) -> str:
    """Name an insert by the ranges that are really in it.

    Never by offsets: those repeat with other rows after the log lost its tail.
    """
    return token_of(table, ((p.stream, max(p.first, p.after + 1), p.last) for p in pieces))


def token_of(table: str, ranges: Iterable[tuple[int, int, int]]) -> str:
    """Name an insert by its ranges: (stream, first, last)."""
    named = sorted(set(ranges))
    text = ",".join(f"{stream:016x}:{first}-{last}" for stream, first, last in named)
    return f"{table}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def join(pieces: Sequence[Piece]) -> tuple[bytes, tuple[str, ...], int]:
    """Return the value to insert for `pieces`, its columns, and its rows.

    A single whole message goes as it is, its rows unread. Raises pa.ArrowException where a value
    is none.
    """
    if len(pieces) == 1 and pieces[0].is_whole:
        return pieces[0].value, pieces[0].columns, pieces[0].rows
    tables = [_cut(piece) for piece in pieces]
    held = {name for table in tables for name in table.column_names}
    columns = [column for column in COLUMNS if column.name in held]
    joined = pa.concat_tables([_widen(table, columns) for table in tables]).combine_chunks()
    whole = _encode(joined, columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, whole.schema) as writer:
        writer.write_table(whole)
    return sink.getvalue().to_pybytes(), tuple(whole.column_names), whole.num_rows


def _cut(piece: Piece) -> pa.Table:
    table = pa.ipc.open_stream(piece.value).read_all()
    if piece.is_whole:
        return table
    return table.filter(pc.greater(table["datagram"], pa.scalar(piece.after, pa.uint64())))


def _widen(table: pa.Table, columns: Sequence[Column]) -> pa.Table:
    """Return `table` with all `columns`; what it left out gets the value for "not said"."""
    arrays = []
    for column in columns:
        kind = _plain(column)
        if column.name in table.column_names:
            arrays.append(table[column.name].cast(kind))
        else:
            absent = pa.repeat(pa.scalar(column.absent, kind), table.num_rows)
            arrays.append(pa.chunked_array([absent]))
    return pa.table(arrays, names=[column.name for column in columns])


def _encode(table: pa.Table, columns: Sequence[Column]) -> pa.Table:
    """Return the joined `table` in the types of the flow record: text as one dictionary."""
    for at, column in enumerate(columns):
        if pa.types.is_dictionary(column.arrow):
            encoded = table[column.name].combine_chunks().dictionary_encode()
            # PIECES_MAX messages name no more than so many collectors.
            indices = encoded.indices.cast(column.arrow.index_type)
            array = pa.DictionaryArray.from_arrays(indices, encoded.dictionary)
            table = table.set_column(at, column.name, array)
    return table


def _plain(column: Column) -> pa.DataType:
    """Return the type while joining: dictionaries of several messages differ."""
    return pa.string() if pa.types.is_dictionary(column.arrow) else column.arrow

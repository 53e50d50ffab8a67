"""The columns of a range while they are filled, and as Arrow."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shared.flow_record import ADDRESS, BY_NAME, COLUMNS, INSTANT

V4_WORD = np.frombuffer(b"\0\0\xff\xff", "=u4")[0]
"""The third 32-bit word of an IPv4-mapped address, as it lies in memory."""

_DTYPES: dict[pa.DataType, np.dtype[Any]] = {
    pa.uint8(): np.dtype("u1"),
    pa.uint16(): np.dtype("u2"),
    pa.uint32(): np.dtype("u4"),
    pa.uint64(): np.dtype("u8"),
    INSTANT: np.dtype("i8"),
}
ADDRESSES = frozenset(column.name for column in COLUMNS if column.arrow == ADDRESS)


class Columns:
    """Arrays of `rows` values, made when first asked for and full of "absent".

    Numbers: the column's own unsigned type; times: int64 ms since 1970; addresses: uint32[rows, 4]
    in wire order.
    """

    def __init__(self, rows: int) -> None:
        """Start without any column."""
        self.rows = rows
        self._arrays: dict[str, npt.NDArray[Any]] = {}

    def __contains__(self, name: str) -> bool:
        """Return whether any record has the column so far."""
        return name in self._arrays

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """Return the array of a column of the flow record, to be written into."""
        found = self._arrays.get(name)
        if found is None:
            found = self._arrays[name] = self._absent(name)
        return found

    def get(self, name: str) -> npt.NDArray[Any] | None:
        """Return the array of a column, or None when no record has it so far."""
        return self._arrays.get(name)

    def _absent(self, name: str) -> npt.NDArray[Any]:
        if name in ADDRESSES:
            return np.zeros((self.rows, 4), "=u4")
        column = BY_NAME[name]
        dtype = _DTYPES[column.arrow]
        if column.absent:
            return np.full(self.rows, column.absent, dtype)
        return np.zeros(self.rows, dtype)

    def reorder(self, order: npt.NDArray[np.intp]) -> None:
        """Put the rows of all columns into another order."""
        self._arrays = {name: values[order] for name, values in self._arrays.items()}

    def batch(self, collector: str) -> pa.RecordBatch:
        """Return them as Arrow, without the columns that no record has a value in."""
        arrays: dict[str, pa.Array] = {}
        for column in COLUMNS:
            if column.name == "collector":
                arrays["collector"] = _same(collector, self.rows)
            elif column.name in self._arrays:
                values = self._arrays[column.name]
                if column.always or self._has_value(column.absent, values):
                    arrays[column.name] = _arrow(values, column.arrow)
        return pa.RecordBatch.from_pydict(arrays)

    def _has_value(self, absent: int | bytes | str, values: npt.NDArray[Any]) -> bool:
        return bool((values != absent).any() if isinstance(absent, int) else values.any())


def _same(text: str, rows: int) -> pa.Array:
    """Return a dictionary column of one text.

    From buffers: `pa.array` imports pandas where it is installed, a second and 50 MB.
    """
    encoded = text.encode()
    ends = np.array([0, len(encoded)], np.int32)
    words = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(ends), pa.py_buffer(encoded)])
    return pa.DictionaryArray.from_arrays(_arrow(np.zeros(rows, np.int8), pa.int8()), words)


def _arrow(values: npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
    """Return the array over the same memory."""
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])

"""The raw records of one template, gathered over a range, read field by field as arrays."""

from array import array
from typing import Any

import numpy as np
import numpy.typing as npt

from services.ingest.decode.plans import Plan, Source

Numbers = npt.NDArray[np.unsignedinteger[Any]]
_U8 = np.dtype("u8")


class Records:
    """`rows` records of one plan over the bytes of all their sets.

    offsets: for variable-length templates, per record: the start of each segment and, after each
        but the last, start and length of a variable field; uint64[rows, 3 * variable fields + 1].
    """

    def __init__(self, plan: Plan, raw: bytes, rows: int, offsets: "array[int] | None") -> None:
        """Take the joined bytes; nothing is copied for fixed-length templates."""
        self.plan = plan
        self.rows = rows
        self._offsets: npt.NDArray[np.int64] | None = None
        if offsets is None:
            self._segments: list[npt.NDArray[Any]] = [
                np.frombuffer(raw, plan.segments[0], count=rows)
            ]
        else:
            self._bytes = np.frombuffer(raw, np.uint8)
            self._offsets = np.frombuffer(offsets, np.int64).reshape(rows, -1)
            self._segments = [
                self._gather(self._offsets[:, 3 * index], dtype)
                for index, dtype in enumerate(plan.segments)
            ]

    def field(self, source: Source) -> npt.NDArray[Any]:
        """Return the field as numpy sees it: addresses in wire bytes, numbers as numbers."""
        if source.variable >= 0:
            return self._variable(source.variable)
        return self._segments[source.segment][source.name]

    def number(self, source: Source) -> Numbers:
        """Return an unsigned field of any length, one number per record."""
        found = self.field(source)
        if found.ndim == 1:
            return found
        # Lengths that no machine integer has: 3, 5, 6 and 7 bytes.
        value = found[:, 0].astype(_U8)
        for index in range(1, found.shape[1]):
            value = value << np.uint64(8) | found[:, index]
        return value

    def _gather(self, starts: npt.NDArray[np.int64], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Copy one run of fixed fields of every record side by side."""
        if dtype.itemsize == 0 or not dtype.names:
            return np.empty(self.rows, dtype=[])
        # Only up to the last field that is read.
        ends = [dtype.fields[name][1] + dtype.fields[name][0].itemsize for name in dtype.names]  # type: ignore[index]  # fields is there: names is
        taken = np.empty((self.rows, dtype.itemsize), np.uint8)
        width = max(ends)
        taken[:, :width] = self._bytes[starts[:, None] + np.arange(width)]
        return taken.reshape(-1).view(dtype)

    def _variable(self, index: int) -> Numbers:
        """Return a variable-length field as numbers; 0 where it has none or over 8 bytes."""
        assert self._offsets is not None
        starts = self._offsets[:, 3 * index + 1]
        sizes = self._offsets[:, 3 * index + 2]
        value = np.zeros(self.rows, _U8)
        for place in range(8):
            there = (sizes > place) & (sizes <= 8)
            value[there] = value[there] << np.uint64(8) | self._bytes[starts[there] + place]
        return value

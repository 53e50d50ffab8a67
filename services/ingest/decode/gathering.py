"""The data sets of a range, gathered by template definition until they become columns together."""

import struct
from array import array

import numpy as np
import numpy.typing as npt

from services.ingest.decode.templates import Definition
from services.ingest.decode.variable import walk_variable

_ORIGIN = struct.Struct("=8q")


class Origins:
    """Where records come from: what their columns take from the datagram, not from the record.

    Kept as packed numbers, because there is one for each datagram.
    """

    def __init__(self) -> None:
        """Start without any."""
        self.newest = -1
        self._packed = bytearray()

    def add(
        self,
        number: int,
        received_at_ms: int,
        exporter: int,
        domain: int,
        version: int,
        export_ms: int,
        uptime_ms: int,
        sampling_rate: int,
    ) -> None:
        """Add the origin of the records that follow.

        exporter: index in the range's list of exporters. export_ms: time of the header, ms since
        1970. uptime_ms: sysUptime of the header, -1 in IPFIX. sampling_rate: of a v5 header.
        """
        self._packed += _ORIGIN.pack(
            number,
            received_at_ms,
            exporter,
            domain,
            version,
            export_ms,
            uptime_ms,
            sampling_rate,
        )
        self.newest += 1

    def columns(self) -> npt.NDArray[np.int64]:
        """Return int64[8, origins]: one row for each argument of `add`, in that order."""
        table = np.frombuffer(bytes(self._packed), np.int64).reshape(-1, 8)
        return np.ascontiguousarray(table.T)


class Group:
    """All sets of one template definition in a range, of whatever exporter.

    Thousands of quiet exporters with the same template so make one conversion, not thousands.
    origins, counts, places: per set, index of its origin, its records, and its place in the range.
    """

    __slots__ = ("counts", "definition", "offsets", "origins", "parts", "places", "rows", "size")

    def __init__(self, definition: Definition) -> None:
        """Start without sets."""
        self.definition = definition
        self.parts: list[bytes] = []
        self.origins: list[int] = []
        self.counts: list[int] = []
        self.places: list[int] = []
        self.offsets = array("q")
        self.rows = 0
        self.size = 0


class Gathered:
    """The data sets of one range.

    rows: flow records so far; a record that may hold two directions counts twice.
    """

    def __init__(self) -> None:
        """Start without sets."""
        self.origins = Origins()
        self.groups: dict[Definition, Group] = {}
        self.rows = 0
        self._places = 0

    def add(self, definition: Definition, payload: bytes, start: int, end: int) -> int:
        """Take the records of a set's body, of the newest origin; return the bytes left over."""
        group = self.groups.get(definition)
        if group is None:
            group = self.groups[definition] = Group(definition)
        if definition.variable:
            count, stop = walk_variable(
                payload,
                start,
                end,
                segments=[segment.itemsize for segment in definition.plan.segments],
                base=group.size - start,
                offsets=group.offsets,
            )
        else:
            count = (end - start) // definition.record_bytes
            stop = start + count * definition.record_bytes
        if count:
            group.parts.append(payload[start:stop])
            group.origins.append(self.origins.newest)
            group.counts.append(count)
            group.places.append(self._places)
            group.rows += count
            group.size += stop - start
            self._places += 1
            self.rows += count * (2 if definition.plan.has_reverse else 1)
        return end - stop

"""All gathered records of a range -> one Arrow batch, and their sums by interface."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.ingest.decode.columns import Columns
from services.ingest.decode.fill import fill_forward, fill_reverse, reverse_rows
from services.ingest.decode.gathering import Gathered, Group
from services.ingest.decode.rates import sums_by_interface
from services.ingest.decode.records import Records

Indices = npt.NDArray[np.intp]

# Place in `Origins.add` -> column.
_FROM_ORIGIN = {0: "datagram", 1: "received_at", 3: "observation_domain", 4: "export_version"}


@dataclass(frozen=True, slots=True)
class Assembled:
    """What a range became.

    exporters: index of the exporter of each row; ignored: per exporter index, records that carried
    (enterprise, element) without a column for it.
    """

    batch: pa.RecordBatch
    sums: pa.RecordBatch
    exporters: npt.NDArray[np.int64]
    ignored: dict[int, dict[tuple[int, int], int]]


class _Part:
    """One group on its way: its records, their origins, and which have a second direction."""

    def __init__(self, group: Group, origins: npt.NDArray[np.int64], *, places: bool) -> None:
        counts = np.array(group.counts, np.intp)
        plan = group.definition.plan
        raw = group.parts[0] if len(group.parts) == 1 else b"".join(group.parts)
        offsets = group.offsets if group.definition.variable else None
        self.records = Records(plan, raw, group.rows, offsets)
        self.counts = counts
        self.origins = origins[:, np.array(group.origins, np.intp)]
        self.reverse = reverse_rows(self.records) if plan.has_reverse else np.empty(0, np.intp)
        self.rows = group.rows + len(self.reverse)
        self.order: npt.NDArray[np.int64] | None = None
        if places:
            # Sets in wire order, then records, then directions; a set has under 2**17 records.
            first = np.cumsum(counts) - counts
            inside = np.arange(group.rows) - np.repeat(first, counts)
            place = np.repeat(np.array(group.places, np.int64), counts) << 18 | inside << 1
            self.order = np.concatenate([place, place[self.reverse] | 1])

    def origin(self, index: int) -> npt.NDArray[np.int64]:
        """Return one of the origin's numbers (see `Origins.add`) per record."""
        return np.repeat(self.origins[index], self.counts)


def assemble(
    gathered: Gathered, exporters: Sequence[bytes], *, collector: str, stream: int, wire_order: bool
) -> Assembled | None:
    """Return the range's batch, or None without records.

    wire_order: rows as their records came, not template by template; costs a sort.
    """
    groups = [g for g in gathered.groups.values() if g.rows]
    if not groups:
        return None
    origins = gathered.origins.columns()
    parts = [_Part(group, origins, places=wire_order) for group in groups]
    columns = Columns(sum(part.rows for part in parts))
    exporter_of = np.empty(columns.rows, np.int64)
    at = 0
    for part in parts:
        _fill_part(columns, at, part)
        exporter = part.origin(2)
        exporter_of[at : at + part.records.rows] = exporter
        exporter_of[at + part.records.rows : at + part.rows] = exporter[part.reverse]
        at += part.rows
    columns["stream"][:] = stream
    packed = np.frombuffer(b"".join(exporters), "=u4").reshape(-1, 4)
    columns["exporter"][:] = packed[exporter_of]
    sums = sums_by_interface(columns, exporter_of, exporters)
    if wire_order:
        order = np.argsort(np.concatenate([p.order for p in parts if p.order is not None]))
        columns.reorder(order)
        exporter_of = exporter_of[order]
    return Assembled(columns.batch(collector), sums, exporter_of, _ignored(groups, origins))


def _fill_part(columns: Columns, at: int, part: _Part) -> None:
    records = part.records
    rows = slice(at, at + records.rows)
    export_ms, uptime_ms, rate = part.origin(5), part.origin(6), part.origin(7)
    fill_forward(columns, rows, records, export_ms, uptime_ms, rate)
    more = slice(rows.stop, at + part.rows)
    if len(part.reverse):
        fill_reverse(columns, more, part.reverse + at, part.reverse, records, export_ms, uptime_ms)
    for index, name in _FROM_ORIGIN.items():
        value = part.origin(index)
        columns[name][rows] = value
        if len(part.reverse):
            columns[name][more] = value[part.reverse]


def _ignored(
    groups: Sequence[Group], origins: npt.NDArray[np.int64]
) -> dict[int, dict[tuple[int, int], int]]:
    found: dict[int, dict[tuple[int, int], int]] = {}
    for group in groups:
        ignored = group.definition.plan.ignored
        if not ignored:
            continue
        exporters = origins[2, np.array(group.origins, np.intp)]
        records: Any = np.bincount(exporters, weights=np.array(group.counts, np.int64))
        for exporter in np.flatnonzero(records).tolist():
            counts = found.setdefault(exporter, {})
            for element in ignored:
                counts[element] = counts.get(element, 0) + int(records[exporter])
    return found

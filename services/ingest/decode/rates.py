"""Sums of a range by exporter, interface and direction, for live rates."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.ingest.decode.columns import Columns
from shared.flow_record import ADDRESS

RATES_SCHEMA = pa.schema(
    [
        ("exporter", ADDRESS),
        ("interface", pa.uint32()),
        ("direction", pa.uint8()),
        ("bytes", pa.uint64()),
        ("packets", pa.uint64()),
        ("flows", pa.uint64()),
        ("bytes_scaled", pa.uint64()),
        ("packets_scaled", pa.uint64()),
    ]
)
"""direction: 0 into the interface, 1 out of it. Interface 0 is there too, so the rows of one
direction always sum up to all flows of the exporter. bytes, packets: as exported; scaled: each
flow's, times its sampling rate where one is known. flows are never scaled."""

Numbers = npt.NDArray[np.uint64]

# Small interface numbers are counted by index, in one pass; others cost a sort.
_INDEXED_MAX = 1 << 18
# bincount adds floats: exact below 2**53.
_EXACT = 1 << 53


def sums_by_interface(
    columns: Columns, exporter_of: npt.NDArray[np.int64], exporters: Sequence[bytes]
) -> pa.RecordBatch:
    """Return the sums of all rows, by direction, exporter (first appearance) and interface.

    exporter_of: index of each row's exporter in `exporters`. Sums are modulo 2**64.
    """
    exported = [columns.get(name) for name in ("bytes", "packets")]
    rates = columns.get("sampling_rate")
    is_scaled = rates is not None and bool((rates > 1).any())
    counters = [*exported, *(_scaled(x, rates) for x in exported)] if is_scaled else exported
    found = []
    for direction, name in enumerate(("in_if", "out_if")):
        interfaces = columns[name] if name in columns else np.zeros(columns.rows, np.uint32)
        keys, flows, sums = _group(exporter_of, interfaces, counters)
        scaled = sums[2:] or sums
        found.append((keys, np.full(len(keys), direction, np.uint8), *sums[:2], flows, *scaled))
    keys, *others = (np.concatenate(column) for column in zip(*found, strict=True))
    packed = np.frombuffer(b"".join(exporters), "=u4").reshape(-1, 4)
    arrays: list[npt.NDArray[Any]] = [
        packed[(keys >> np.uint64(32)).astype(np.intp)],
        (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32),
        *others,
    ]
    return pa.RecordBatch.from_arrays(
        [
            pa.Array.from_buffers(field.type, len(keys), [None, pa.py_buffer(values)])
            for field, values in zip(RATES_SCHEMA, arrays, strict=True)
        ],
        schema=RATES_SCHEMA,
    )


def _scaled(counter: Numbers | None, rates: npt.NDArray[Any] | None) -> Numbers | None:
    if counter is None or rates is None:
        return counter
    scaled: Numbers = counter * np.maximum(rates, 1).astype(np.uint64)
    return scaled


def _group(
    exporter_of: npt.NDArray[np.int64],
    interfaces: npt.NDArray[np.uint32],
    counters: Sequence[Numbers | None],
) -> tuple[Numbers, Numbers, list[Numbers]]:
    """Return sorted keys (exporter index * 2**32 + interface), rows of each, sums of counters."""
    rows = len(interfaces)
    span = int(interfaces.max()) + 1
    size = span * (int(exporter_of.max()) + 1)
    largest = max((int(c.max()) for c in counters if c is not None), default=0)
    if size <= _INDEXED_MAX and largest * rows < _EXACT:
        index = exporter_of * span + interfaces
        counted = np.bincount(index, minlength=size)
        there = np.flatnonzero(counted)
        keys = (there // span << 32 | there % span).astype(np.uint64)
        sums = [
            np.zeros(len(there), np.uint64)
            if counter is None
            else np.bincount(index, weights=counter, minlength=size)[there].astype(np.uint64)
            for counter in counters
        ]
        return keys, counted[there].astype(np.uint64), sums
    keys = exporter_of.astype(np.uint64) << np.uint64(32) | interfaces
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    sums = [
        np.zeros(len(starts), np.uint64)
        if counter is None
        else np.add.reduceat(counter[order], starts)
        for counter in counters
    ]
    return keys[starts], np.diff(np.append(starts, rows)).astype(np.uint64), sums

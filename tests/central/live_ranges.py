"""Ranges of `rates` as values and as messages, for tests of the live rates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from services.central.live.entries import SUMS
from services.central.live.windows import RatesRange
from services.ingest.decode.rates import RATES_SCHEMA
from services.ingest.publish.encode import encode_batch
from shared.addresses import pack_address
from shared.flow_message import FlowRange, encode_headers

T_S = 1_790_000_000
T_MS = T_S * 1000
EXPORTER = "192.0.2.1"


@dataclass(frozen=True, slots=True)
class Sum:
    """One row: flows of an exporter by one interface; bytes are 100 and packets 2 per flow."""

    flows: int = 1
    exporter: str = EXPORTER
    interface: int = 3
    direction: int = 0
    rate: int = 1

    @property
    def sums(self) -> list[int]:
        numbers = [100 * self.flows, 2 * self.flows, self.flows]
        return [*numbers, numbers[0] * self.rate, numbers[1] * self.rate]


def a_range(
    first: int,
    last: int,
    at_ms: int,
    *rows: Sum,
    stream: int = 7,
    until_ms: int | None = None,
    appended_ms: int | None = None,
) -> RatesRange:
    """The range first..last of `stream`, received at `at_ms` and appended soon after."""
    rows = rows or (Sum(last - first + 1),)
    exporters = sorted({row.exporter for row in rows})
    latest_ms = at_ms if until_ms is None else until_ms
    return RatesRange(
        stream=stream,
        first=first,
        last=last,
        earliest_ms=at_ms,
        latest_ms=latest_ms,
        appended_ms=latest_ms + 300 if appended_ms is None else appended_ms,
        exporters=[pack_address(exporter) for exporter in exporters],
        exporter=np.array([exporters.index(row.exporter) for row in rows], np.intp),
        interface=np.array([row.interface for row in rows], np.uint32),
        direction=np.array([row.direction for row in rows], np.uint8),
        sums=np.array([row.sums for row in rows], np.uint64).T,
    )


Message = tuple[list[tuple[str, bytes]], bytes]


def a_message(given: RatesRange) -> Message:
    """Return the headers and value with which a decoder would send `given`."""
    named = FlowRange(
        stream=given.stream,
        worker="collector-1/0",
        first=given.first,
        last=given.last,
        rows=len(given.interface),
        earliest_ms=given.earliest_ms,
        latest_ms=given.latest_ms,
        started_at_ms=T_MS,
        partitions=1,
    )
    return encode_headers(named), encode_batch(batch_of(given))


def batch_of(given: RatesRange) -> pa.RecordBatch:
    columns: dict[str, Sequence[object] | pa.Array] = {
        "exporter": [given.exporters[number] for number in given.exporter],
        "interface": given.interface,
        "direction": given.direction,
        **dict(zip(SUMS, given.sums, strict=True)),
    }
    arrays = [pa.array(columns[field.name], field.type) for field in RATES_SCHEMA]
    return pa.RecordBatch.from_arrays(arrays, schema=RATES_SCHEMA)

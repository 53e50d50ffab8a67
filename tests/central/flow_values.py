"""Values of messages on `flows`, made from a seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.central.store import FlowStore
from services.central.store.rows import encode_stream
from shared.flow_record import INSTANT

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
HOUR = 1_700_002_800_000
"""The start of an hour, ms."""


@dataclass(frozen=True, slots=True)
class FlowValue:
    """One message: the closed range `first..last` of a stream."""

    stream: int
    first: int
    last: int
    value: bytes
    batch: pa.RecordBatch

    @property
    def columns(self) -> list[str]:
        return list(self.batch.schema.names)

    @property
    def token(self) -> str:
        return f"{self.stream}:{self.first}-{self.last}"


def addresses(numbers: Sequence[int] | npt.NDArray[np.integer]) -> pa.Array:
    """Return IPv4 addresses, from their numbers, as the flow record keeps them."""
    packed = np.zeros((len(numbers), 16), np.uint8)
    packed[:, 10:12] = 255
    packed[:, 12:] = np.asarray(numbers, dtype=">u4").view(np.uint8).reshape(-1, 4)
    buffer = pa.py_buffer(packed.tobytes())
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(numbers), [None, buffer])


def flow_value(
    *,
    stream: int = 1,
    first: int = 1,
    datagrams: int = 20,
    per_datagram: int = 10,
    at_ms: int = HOUR,
    hosts: int = 50,
    days: int = 1,
    seed: int | None = None,
) -> FlowValue:
    """Return a message of `datagrams * per_datagram` rows within a second of `at_ms`.

    hosts: 0 gives every row addresses of its own. days: spreads the datagrams over so many days,
    which no collector does.
    """
    rng = np.random.default_rng(first * 1_000_003 + stream if seed is None else seed)
    rows = datagrams * per_datagram
    number = np.arange(rows, dtype=np.uint64) // per_datagram + first
    at = at_ms + np.sort(rng.integers(0, 1000, datagrams)).repeat(per_datagram)
    if days > 1:
        at = at + (np.arange(rows) * days // rows) * DAY_MS
    own = np.arange(rows) + first * per_datagram

    def some(values: Sequence[int], kind: type[np.unsignedinteger]) -> pa.Array:
        return pa.array(rng.choice(values, rows).astype(kind))

    instant = pa.array(at, pa.int64()).cast(INSTANT)
    collector = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(rows, np.int8)), pa.array([f"c/{stream}"])
    )
    batch = pa.record_batch(
        {
            "received_at": instant,
            "started_at": instant,
            "ended_at": instant,
            "collector": collector,
            "stream": pa.array(np.full(rows, stream, np.uint64)),
            "datagram": pa.array(number),
            "exporter": addresses(rng.integers(1, 4, rows)),
            "export_version": pa.array(np.full(rows, 9, np.uint8)),
            "src_addr": addresses(rng.integers(0, hosts, rows) if hosts else own),
            "dst_addr": addresses(rng.integers(0, hosts, rows) if hosts else own + 2**31),
            "src_port": some(range(1024, 1100), np.uint16),
            "dst_port": some([53, 80, 443, 0], np.uint16),
            "protocol": some([6, 17, 1], np.uint8),
            "tos": some([0, 184, 40], np.uint8),
            "in_if": some(range(5), np.uint32),
            "out_if": some(range(5), np.uint32),
            "src_as": some([64500, 64501], np.uint32),
            "dst_as": some([64500, 64502], np.uint32),
            "bytes": pa.array(rng.integers(40, 1_500_000, rows).astype(np.uint64)),
            "packets": pa.array(rng.integers(1, 1_500, rows).astype(np.uint64)),
            "sampling_rate": some([0, 1, 100], np.uint32),
        }
    )
    return FlowValue(stream, first, first + datagrams - 1, encode_stream(batch), batch)


def insert(store: FlowStore, *messages: FlowValue) -> None:
    for message in messages:
        store.insert_flows(message.value, columns=message.columns, token=message.token)


def ask(store: FlowStore, sql: str, **parameters: object) -> list[tuple[object, ...]]:
    """Return the rows of a small answer."""
    table = store.query_arrow(sql, parameters)
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

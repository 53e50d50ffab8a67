"""Spools written by hand, and NetFlow datagrams to put into them."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from services.ingest.decode.decoding import DecoderState, RangeBuilder
from services.ingest.spool.format import RecordKind, encode_record
from services.ingest.spool.reader import SPOOL_START, SpoolReader
from services.ingest.spool.writer import SpoolWriter
from shared.addresses import pack_address
from shared.flow_record import BY_NAME

NOON_MS = 1_700_000_000_000 // 60_000 * 60_000
WORKER = "test/0"
EXPORTERS = tuple(pack_address(f"10.0.0.{number}") for number in range(1, 5))

# IPV4_SRC_ADDR, IPV4_DST_ADDR, IN_BYTES, IN_PKTS, INPUT_SNMP: 4 bytes each.
FIELDS = ((8, 4), (12, 4), (1, 4), (2, 4), (10, 4))
RECORD_BYTES = 20


def v9_template(template_id: int = 300) -> bytes:
    """Return a datagram that only brings a template."""
    fields = b"".join(struct.pack("!HH", *field) for field in FIELDS)
    body = struct.pack("!HH", template_id, len(FIELDS)) + fields
    return _v9(struct.pack("!HH", 0, 4 + len(body)) + body)


def v9_flows(flows: int, *, seed: int = 1, template_id: int = 300) -> bytes:
    """Return a datagram of `flows` records that compress badly; different for each seed."""
    body = b"".join(
        struct.pack(
            "!5I", *((seed * 2_654_435_761 * (n + 3) * k) & 0xFFFFFFFF for k in (1, 7, 11, 13)), 5
        )
        for n in range(flows)
    )
    return _v9(struct.pack("!HH", template_id, 4 + len(body)) + body)


def _v9(flow_sets: bytes) -> bytes:
    return struct.pack("!HHIIII", 9, 1, 100_000, NOON_MS // 1000, 1, 0) + flow_sets


@dataclass(frozen=True)
class Datagram:
    exporter: bytes
    payload: bytes
    at_ms: int


class Spool:
    """One worker's spool that tests write record by record."""

    def __init__(
        self, directory: Path, *, segment_bytes: int = 1 << 20, next_segment: int = 1
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.writer = SpoolWriter(
            directory, worker=WORKER, segment_bytes=segment_bytes, next_segment=next_segment
        )

    def open(self, stream: int, at_ms: int = NOON_MS) -> None:
        self.writer.open_stream(stream, started_at_ms=at_ms, partitions=4)

    def write(self, datagrams: Iterable[Datagram]) -> None:
        for datagram in datagrams:
            record = encode_record(
                self.writer.seed,
                RecordKind.DATAGRAM,
                self.writer.next_number,
                datagram.at_ms,
                datagram.exporter,
                2055,
                datagram.payload,
            )
            self.writer.write(memoryview(record), [len(record)], datagram.at_ms)

    def mark(self, kind: RecordKind, at_ms: int, payload: bytes = b"") -> None:
        assert self.writer.append(kind, at_ms, payload)

    def close(self) -> None:
        self.writer.close()


def datagrams(
    count: int, *, flows: int = 10, at_ms: int = NOON_MS, step_ms: int = 10
) -> list[Datagram]:
    """Return templates of every exporter, then data; every fifth exporter's template comes late."""
    made = [Datagram(exporter, v9_template(), at_ms) for exporter in EXPORTERS[:3]]
    for number in range(count):
        exporter = EXPORTERS[number % len(EXPORTERS)]
        at = at_ms + number * step_ms
        if number == count // 2:
            made.append(Datagram(EXPORTERS[3], v9_template(), at))
        made.append(Datagram(exporter, v9_flows(flows, seed=number + 1), at))
    return made


def fresh_rows(directory: Path) -> pa.Table:
    """Decode the whole spool at once, stream by stream: what must come out, however it is cut."""
    reader = SpoolReader(directory)
    state, position = DecoderState(), SPOOL_START
    builders: dict[int, RangeBuilder] = {}
    state.begin()
    while (chunk := reader.read(position)) is not None:
        builder = builders.setdefault(
            chunk.header.stream,
            RangeBuilder(state, collector=WORKER, stream=chunk.header.stream),
        )
        for record in chunk.records:
            if record.kind is RecordKind.DATAGRAM:
                builder.add(
                    record.number, record.received_at_ms, record.exporter, 0, record.payload
                )
        position = chunk.next
        if chunk.at_tail and not chunk.records:
            break
    reader.close()
    batches = [builder.finish().batch for builder in builders.values()]
    return sorted_rows([batch for batch in batches if batch is not None])


def sorted_rows(batches: Sequence[pa.RecordBatch]) -> pa.Table:
    """Return all rows in one order, dictionaries opened and absent columns filled, to compare."""
    tables = []
    for batch in batches:
        table = pa.Table.from_batches([batch])
        column = table.schema.get_field_index("collector")
        tables.append(table.set_column(column, "collector", table["collector"].cast(pa.string())))
    if not tables:
        return pa.table({})
    table = pa.concat_tables(tables, promote_options="default").combine_chunks()
    for number, name in enumerate(table.schema.names):
        filled = pc.fill_null(table[name], pa.scalar(BY_NAME[name].absent, table[name].type))
        table = table.set_column(number, name, filled)
    keys = ["stream", "datagram", "exporter", "src_addr", "dst_addr", "bytes", "packets"]
    # Fixed-size binary has no sort kernel.
    plain = table
    for name in ("exporter", "src_addr", "dst_addr"):
        column = plain.schema.get_field_index(name)
        plain = plain.set_column(column, name, plain[name].cast(pa.binary()))
    return plain.select(sorted(plain.schema.names)).sort_by([(key, "ascending") for key in keys])


def read_batch(value: bytes) -> pa.RecordBatch:
    (batch,) = pa.ipc.open_stream(value)
    return batch

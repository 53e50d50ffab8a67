"""Where the decoder's time goes, in this process alone: `python -m bench.decode`; half a minute.

For a first look while changing `services/ingest`: no Kafka, no sockets, one line for each load.
"""

import sys
import time
from dataclasses import dataclass, fields
from datetime import UTC, datetime

from bench.packets import LOADS, Load, make_packets
from services.ingest.decode.decoding import DecoderState, RangeBuilder
from services.ingest.publish.allocation import keep_freed_memory, look_for_cycles_seldom
from services.ingest.publish.encode import encode_batch
from services.ingest.spool.format import (
    RecordKind,
    SpoolRecord,
    crc_seed,
    decode_records,
    encode_record,
)

_STREAM = 1
_ROWS = 40_000
_FLOWS = 200_000


@dataclass(slots=True)
class Spent:
    """CPU-seconds by stage: reading the spool, walking datagrams, columns, Arrow with zstd."""

    read: float = 0.0
    walk: float = 0.0
    columns: float = 0.0
    encode: float = 0.0


def measure(load: Load, flows: int, *, now_ms: int) -> str:
    """Return what each stage of the decoder takes of one load, as a line of text."""
    packets = make_packets(load, flows, now_ms=now_ms)
    seed = crc_seed(_STREAM)
    spool = b"".join(
        encode_record(
            seed, RecordKind.DATAGRAM, number, now_ms, _exporter(packet.exporter), 2055,
            packet.payload,
        )
        for number, packet in enumerate(packets, 1)
    )  # fmt: skip
    spent, rows = Spent(), 0
    records: list[SpoolRecord] = []
    at = time.process_time()
    decode_records(memoryview(spool), seed, records, [])
    spent.read = time.process_time() - at
    state = DecoderState()
    per_range = _ROWS // load.per_datagram
    for first in range(0, len(records), per_range):
        state.begin()
        builder = RangeBuilder(state, collector="bench/0", stream=_STREAM)
        at = time.process_time()
        for record in records[first : first + per_range]:
            builder.add(record.number, now_ms, record.exporter, record.port, record.payload)
        walked = time.process_time()
        decoded = builder.finish()
        made = time.process_time()
        encode_batch(decoded.batch)
        encode_batch(decoded.sums)
        spent.walk += walked - at
        spent.columns += made - walked
        spent.encode += time.process_time() - made
        rows += decoded.rows
    total_s = sum(getattr(spent, each.name) for each in fields(spent))
    return (
        f"{load.name:9} {rows / total_s / 1e6:5.2f} M flows per CPU-second;"
        f" read {spent.read / len(records) * 1e6:.2f}, walk {spent.walk / len(records) * 1e6:.2f}"
        f" us a datagram; columns {spent.columns / rows * 1e9:.0f},"
        f" encode {spent.encode / rows * 1e9:.0f} ns a flow\n"
    )


def _exporter(number: int) -> bytes:
    return bytes(10) + b"\xff\xff\x0a\0\0" + bytes([number])


def main() -> None:
    """Measure every load."""
    keep_freed_memory()
    look_for_cycles_seldom()
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    for load in LOADS:
        sys.stdout.write(measure(load, _FLOWS, now_ms=now_ms))


if __name__ == "__main__":
    main()

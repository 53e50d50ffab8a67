"""`python -m services.central.measure FOLDER`: how many flow records a second a store here takes.

A machine that may become a standby measures itself with it. The store is made in FOLDER and
removed again.
"""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from services.central.store.flow_store import FlowStore
from services.central.store.rows import encode_stream
from shared.flow_record import ADDRESS, INSTANT

ROWS: Final = 40_000
"""Of one insert: the most that a message carries."""
INSERTS: Final = 6
AT_MS: Final = 1_700_000_000_000


def batch_of(first: int) -> pa.RecordBatch:
    """Return `ROWS` rows whose numbers begin at `first`, each with hosts and ports of its own."""
    rng = np.random.default_rng(first)

    def numbers(most: int, kind: type[np.unsignedinteger]) -> pa.Array:
        return pa.array(rng.integers(0, most, ROWS).astype(kind))

    def hosts() -> pa.Array:
        packed = rng.integers(0, 256, (ROWS, 16), dtype=np.uint8)
        return pa.FixedSizeBinaryArray.from_buffers(ADDRESS, ROWS, [None, pa.py_buffer(packed)])

    at = pa.array(np.full(ROWS, AT_MS), pa.int64()).cast(INSTANT)
    return pa.record_batch(
        {
            "received_at": at,
            "started_at": at,
            "ended_at": at,
            "collector": pa.DictionaryArray.from_arrays(
                pa.array(np.zeros(ROWS, np.int8)), pa.array(["measure/0"])
            ),
            "stream": pa.array(np.full(ROWS, 1, np.uint64)),
            "datagram": pa.array(np.arange(first, first + ROWS, dtype=np.uint64)),
            "exporter": hosts(),
            "export_version": pa.array(np.full(ROWS, 9, np.uint8)),
            "src_addr": hosts(),
            "dst_addr": hosts(),
            "src_port": numbers(65_536, np.uint16),
            "dst_port": numbers(65_536, np.uint16),
            "protocol": numbers(18, np.uint8),
            "in_if": numbers(64, np.uint32),
            "out_if": numbers(64, np.uint32),
            "bytes": numbers(1_500_000, np.uint64),
            "packets": numbers(1_500, np.uint64),
        }
    )


def inserts_per_s(folder: Path) -> float:
    """Insert into a store below `folder`; rows over seconds, inserts and closing of the minute."""
    folder.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="measure-", dir=folder))
    try:
        store = FlowStore.open(str(place / "store"))
        try:
            store.migrate()
            batches = [batch_of(1 + number * ROWS) for number in range(INSERTS)]
            values = [encode_stream(batch) for batch in batches]
            started_s = time.perf_counter()
            for number, value in enumerate(values):
                store.insert_flows(value, columns=batches[0].schema.names, token=f"{number}")
            store.close_minute(1, AT_MS // 60_000 * 60_000)
            return ROWS * INSERTS / (time.perf_counter() - started_s)
        finally:
            store.close()
    finally:
        shutil.rmtree(place, ignore_errors=True)


def main(arguments: Sequence[str]) -> int:
    """Print the figure as JSON; the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m services.central.measure FOLDER\n")
        return 2
    sys.stdout.write(json.dumps({"inserts_per_s": inserts_per_s(Path(arguments[0]))}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

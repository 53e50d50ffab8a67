"""Columns to bytes: what a message weighs, and what its two sets of headers say."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa

from services.ingest.publish.encode import Message, encode_batch, message_bytes
from services.ingest.spool.reader import SpoolPosition
from shared.flow_message import FlowRange, decode_headers
from shared.losses import Loss, LossReason
from tests.ingest.spools import EXPORTERS, read_batch

RANGE = FlowRange(
    stream=(1 << 64) - 1, worker="c/0", first=3, last=9, rows=2, earliest_ms=5, latest_ms=7,
    started_at_ms=1, partitions=4, losses=(Loss(EXPORTERS[0], LossReason.TRUNCATED, 1, 2),),
)  # fmt: skip
BATCH = pa.RecordBatch.from_pydict({"bytes": pa.array([1, 2], pa.uint64())})


def message(value: bytes) -> Message:
    return Message(
        flow_range=RANGE, value=value, rates=b"r", rates_rows=5, after=SpoolPosition(1, 600),
        latest_ms=7,
    )  # fmt: skip


def test_a_batch_is_one_arrow_stream_and_no_rows_are_no_bytes() -> None:
    assert read_batch(encode_batch(BATCH)) == BATCH
    assert encode_batch(None) == b""
    assert encode_batch(BATCH.slice(0, 0)) == b""


def test_the_same_rows_give_the_same_bytes() -> None:
    assert encode_batch(BATCH) == encode_batch(read_batch(encode_batch(BATCH)))


def test_headers_name_the_range_and_rates_carry_no_losses() -> None:
    made = message(b"v")

    assert decode_headers(made.headers) == RANGE
    rates = decode_headers(made.rates_headers)
    assert (rates.first, rates.last, rates.rows, rates.losses) == (3, 9, 5, ())


def test_the_weight_of_a_message_counts_key_value_and_headers() -> None:
    headers = message(b"").headers
    bare = message_bytes(b"key", b"", headers)

    assert message_bytes(b"key", b"x" * 1_000, headers) == bare + 1_000
    assert bare > sum(len(name) + len(text) for name, text in headers) + 3


def test_making_a_batch_does_not_import_pandas() -> None:
    """pyarrow does in many calls; in a decoder it would be a second and 50 MB for nothing."""
    program = (
        "import sys\n"
        "from tests.ingest.spools import EXPORTERS, NOON_MS, v9_flows, v9_template\n"
        "from services.ingest.decode.decoding import DecoderState, RangeBuilder\n"
        "from services.ingest.publish.encode import encode_batch\n"
        "builder = RangeBuilder(DecoderState(), collector='c/0', stream=1)\n"
        "for n, payload in enumerate([v9_template(), v9_flows(5)], 1):\n"
        "    builder.add(n, NOON_MS, EXPORTERS[0], 1, payload)\n"
        "decoded = builder.finish()\n"
        "assert decoded.rows == 5\n"
        "encode_batch(decoded.batch), encode_batch(decoded.sums)\n"
        "assert 'pandas' not in sys.modules\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", program], cwd=root, check=True)

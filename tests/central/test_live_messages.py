"""Messages of `rates` as columns: what a decoder sends is read, anything else is refused."""

import contextlib

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.central.live.messages import RatesError, read_rates
from services.central.live.windows import Windows
from services.ingest.publish.encode import encode_batch
from tests.central.live_ranges import T_MS, Sum, a_message, a_range, batch_of

SENT = a_range(3, 9, T_MS, Sum(4), Sum(2, interface=5, direction=1, exporter="2001:db8::9"))
HEADERS, VALUE = a_message(SENT)


def test_what_a_decoder_sends_is_what_was_meant() -> None:
    read = read_rates(HEADERS, VALUE, appended_ms=SENT.appended_ms)
    windows, meant = Windows(), Windows()
    windows.set(read)
    meant.set(SENT)
    assert windows.rates(T_MS + 1000) == meant.rates(T_MS + 1000)
    assert (read.stream, read.first, read.last) == (7, 3, 9)
    assert (read.earliest_ms, read.latest_ms, read.appended_ms) == (T_MS, T_MS, T_MS + 300)


def test_columns_of_a_newer_collector_are_passed_over() -> None:
    batch = batch_of(SENT).append_column("colour", pa.array(["red", "blue"]))
    read = read_rates(HEADERS, encode_batch(batch), appended_ms=T_MS)
    assert read.sums.tolist() == SENT.sums.tolist()


def without(name: str) -> bytes:
    return encode_batch(batch_of(SENT).drop_columns([name]))


def with_column(name: str, values: pa.Array) -> bytes:
    batch = batch_of(SENT)
    at = batch.schema.get_field_index(name)
    return encode_batch(batch.set_column(at, name, values))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "."),
        (b"no arrow", "."),
        (VALUE[: len(VALUE) // 2], "."),
        (without("exporter"), "exporter"),
        (without("packets_scaled"), "packets_scaled"),
        (with_column("bytes", pa.array([1.5, 2.5])), "bytes"),
        (with_column("bytes", pa.array([1, None], pa.uint64())), "nulls"),
        (with_column("direction", pa.array([0, 2], pa.uint8())), "direction 2"),
        (encode_batch(batch_of(SENT).slice(1)), "1 rows"),
    ],
)
def test_any_other_value_is_refused(value: bytes, why: str) -> None:
    with pytest.raises(RatesError, match=why):
        read_rates(HEADERS, value, appended_ms=T_MS)


@pytest.mark.parametrize(
    ("header", "text"), [("first", b"0"), ("stream", b"xyz"), ("latest", b"9"), ("rows", b"3")]
)
def test_headers_that_name_no_range_are_refused(header: str, text: bytes) -> None:
    headers = [(name, text if name == header else old) for name, old in HEADERS]
    with pytest.raises(RatesError):
        read_rates(headers, VALUE, appended_ms=T_MS)


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, len(VALUE) - 1), byte=st.integers(0, 255))
def test_any_bytes_are_read_or_refused(at: int, byte: int) -> None:
    value = VALUE[:at] + bytes([byte]) + VALUE[at + 1 :]
    with contextlib.suppress(RatesError):
        Windows().set(read_rates(HEADERS, value, appended_ms=T_MS))

"""Records on topic `digests`: read as they were written, and nothing else is."""

import contextlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.digest_records import (
    EXPORTERS_MAX,
    HOUR,
    MINUTE,
    PERIOD_MS,
    VALUE_BYTES_MAX,
    DigestRecordError,
    ExporterDigest,
    Found,
    Gone,
    Left,
    Passed,
    Period,
    PeriodDigest,
    RawSums,
    RollupSums,
    decode_digest,
    encode_digest,
    period_key,
)

MINUTE_MS = 60_000
AT_MS = 1_772_461_860_000
RECORD = PeriodDigest(
    central="central-a",
    period=Period(0xC0FFEE, MINUTE, AT_MS),
    raw=RawSums(200, 146_343_087, 157_337, 2**64 - 1),
    digest_version=1,
    rollups=RollupSums(513, 7),
    rollup_version=1,
    exporters=(ExporterDigest("192.0.2.1", 200, 9),),
)
counts = st.integers(0, 2**64 - 1)
raws = st.builds(RawSums, counts, counts, counts, counts)
rollups = st.builds(RollupSums, counts, counts)
addresses = st.ip_addresses().map(str)
periods = st.builds(
    lambda stream, level, at: Period(stream, level, at * PERIOD_MS[level]),
    counts,
    st.sampled_from([MINUTE, HOUR]),
    st.integers(0, 10**6),
)
records = st.builds(
    PeriodDigest,
    central=st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True),
    period=periods,
    raw=raws,
    digest_version=st.integers(0, 255),
    rollups=rollups,
    rollup_version=st.integers(0, 255),
    repair=st.integers(0, 2**31),
    exporters=st.lists(st.builds(ExporterDigest, addresses, counts, counts), max_size=5).map(tuple),
    exporters_more=counts,
    checked=st.booleans(),
    found=st.none()
    | st.builds(
        Found,
        raw=st.none() | raws,
        rollups=st.none() | rollups,
        exporters=st.lists(addresses, max_size=3).map(tuple),
        exporters_more=counts,
    ),
)


@given(records)
def test_a_period_is_read_as_it_was_written(record: PeriodDigest) -> None:
    assert decode_digest(*encode_digest(record)) == record


def test_how_far_a_stream_is_and_what_is_gone_are_read_too() -> None:
    passed = Passed(
        central="central-a", stream=2**64 - 1, minutes_until_ms=AT_MS, hours_until_ms=0, ended=True
    )
    assert decode_digest(*encode_digest(passed)) == passed
    gone = decode_digest(period_key("central-a", RECORD.period), b"")
    assert gone == Gone("central-a", RECORD.period)
    assert decode_digest(*encode_digest(Left("central-a"))) == Left("central-a")


def test_the_longest_list_of_exporters_fits() -> None:
    names = [f"2001:db8:ffff:ffff:ffff:ffff:ffff:{number:04x}" for number in range(EXPORTERS_MAX)]
    listed = tuple(ExporterDigest(name, 2**64 - 1, 2**64 - 1) for name in names)
    key, value = encode_digest(replace(RECORD, exporters=listed))
    assert len(value) < VALUE_BYTES_MAX // 2
    assert decode_digest(key, value) == replace(RECORD, exporters=listed)


def test_a_value_of_the_first_release_is_read_for_ever() -> None:
    key = b"central-a/0000000000c0ffee/0/1772461860000"
    value = (
        b'{"raw":[200,146343087,157337,"ffffffffffffffff"],"digest_version":1,'
        b'"rollups":[513,"0000000000000007"],"rollup_version":1,"repair":0,'
        b'"exporters":[["192.0.2.1",200,"0000000000000009"]],"exporters_more":0,"checked":false}'
    )
    assert decode_digest(key, value) == RECORD
    newer = value.replace(b'"raw"', b'"colour":"blue","raw"')
    assert decode_digest(key, newer) == RECORD


@given(st.binary(max_size=60), st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(key: bytes, value: bytes) -> None:
    with contextlib.suppress(DigestRecordError):
        decode_digest(key, value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("raw", [200, 1, 1]),
        ("raw", [-1, 1, 1, "0" * 16]),
        ("raw", [200, 1, True, "0" * 16]),
        ("raw", [200, 1, 2**64, "0" * 16]),
        ("raw", [200, 1, 1, "nothex" + "0" * 10]),
        ("raw", None),
        ("rollups", [1]),
        ("repair", 1.5),
        ("checked", "yes"),
        ("exporters", [["x" * 46, 1, "0" * 16]]),
        ("exporters", [["192.0.2.1", 1, "0" * 16]] * (EXPORTERS_MAX + 1)),
        ("exporters", {"a": 1}),
        ("found", {"raw": None}),
    ],
)
def test_a_wrong_value_is_refused(field: str, value: object) -> None:
    key, good = encode_digest(RECORD)
    bad = json.dumps(json.loads(good) | {field: value}).encode()
    with pytest.raises(DigestRecordError):
        decode_digest(key, bad)


@pytest.mark.parametrize(
    "key",
    [
        None,
        b"",
        b"central-a",
        b"central-a/1/0/0",
        b"/0000000000c0ffee/0/0",
        b"central-a/0000000000c0ffee/2/0",
        b"central-a/0000000000c0ffee/0/1",
        b"central-a/0000000000c0ffee/1/60000",
        b"central-a/0000000000c0ffee/0/-60000",
        b"central-a/0000000000c0ffee/0/999999999999960000",
        b"central-a/xyz0000000c0ffee/0/0",
        b"\xff/0000000000c0ffee/0/0",
    ],
)
def test_a_key_that_names_no_period_is_refused(key: bytes | None) -> None:
    with pytest.raises(DigestRecordError):
        decode_digest(key, encode_digest(RECORD)[1])


def test_a_stream_covers_what_ends_below_its_bounds() -> None:
    hour_ms = 60 * MINUTE_MS
    passed = Passed(
        central="a", stream=1, minutes_until_ms=hour_ms + MINUTE_MS, hours_until_ms=hour_ms
    )
    assert passed.covers(Period(1, MINUTE, hour_ms))
    assert not passed.covers(Period(1, MINUTE, hour_ms + MINUTE_MS))
    assert passed.covers(Period(1, HOUR, 0))
    assert not passed.covers(Period(1, HOUR, hour_ms))
    assert replace(passed, ended=True).covers(Period(1, HOUR, hour_ms))

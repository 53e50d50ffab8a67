"""The record on `collectors`: read as written, and junk is named."""

import json
from dataclasses import replace
from typing import Any

import pytest

from shared.collectors import (
    REASON_CHARACTERS,
    REASONS_MAX,
    VALUE_BYTES_MAX,
    CollectorRecord,
    CollectorRecordError,
    decode_collector,
    encode_collector,
)

RECORD = CollectorRecord(
    worker="collector-1/0",
    collector="collector-1",
    version="0.1.0",
    at_ms=1_772_461_858_000,
    started_at_ms=1_772_461_000_000,
    flows_per_s=1999.5,
    datagrams_per_s=80.0,
    spool_bytes=4096,
    unread_datagrams=12,
    lag_s=0.4,
    stream="00c0ffee00c0ffee",
    acknowledged=88,
    received=100,
    primary="central-a",
    epoch=7,
    udp="127.0.0.1:2055",
    ready=True,
)

# Never change a line: these bytes are in somebody's topic.
STORED: list[tuple[bytes, CollectorRecord]] = [
    (
        b'{"worker":"collector-1/0","collector":"collector-1","version":"0.1.0",'
        b'"at_ms":1772461858000,"started_at_ms":1772461000000,"flows_per_s":1999.5,'
        b'"datagrams_per_s":80.0,"spool_bytes":4096,"unread_datagrams":12,"lag_s":0.4,'
        b'"stream":"00c0ffee00c0ffee","acknowledged":88,"received":100,"primary":"central-a",'
        b'"epoch":7,"udp":"127.0.0.1:2055","ready":true,"reasons":{}}',
        RECORD,
    ),
    (
        b'{"worker":"collector-1/0","collector":"collector-1"}',
        CollectorRecord(worker="collector-1/0", collector="collector-1"),
    ),
]


@pytest.mark.parametrize(("stored", "record"), STORED)
def test_what_is_stored_stays_readable(stored: bytes, record: CollectorRecord) -> None:
    assert decode_collector(b"collector-1/0", stored) == record
    key, value = encode_collector(record)
    assert json.loads(stored).items() <= json.loads(value).items()
    assert decode_collector(key, value) == record


def test_a_field_of_a_later_release_is_left_out() -> None:
    key, value = encode_collector(RECORD)

    assert decode_collector(key, value[:-1] + b',"colour":"red"}') == RECORD


def test_reasons_are_cut_to_what_is_read() -> None:
    reasons = {f"receiver-{n}": f"first\nsecond\0 {'x' * 999}" for n in range(REASONS_MAX + 1)}

    found = decode_collector(*encode_collector(replace(RECORD, reasons=reasons)))

    assert len(found.reasons) == REASONS_MAX
    text = found.reasons["receiver-0"]
    assert text.startswith("first second ")
    assert len(text) == REASON_CHARACTERS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("worker", "collector-2/0"), ("collector", ""), ("collector", "other"),
        ("version", "x" * 256), ("stream", None), ("primary", "a\nb"), ("udp", ["::"]),
        ("at_ms", -1), ("at_ms", 1.5), ("at_ms", 1 << 63), ("started_at_ms", True),
        ("started_at_ms", 253_402_300_800_000),
        ("spool_bytes", None), ("received", "7"), ("acknowledged", -7),
        ("unread_datagrams", -1), ("flows_per_s", -0.1), ("flows_per_s", "fast"),
        ("datagrams_per_s", float("inf")), ("lag_s", float("nan")), ("lag_s", True),
        ("epoch", -2), ("epoch", None), ("ready", 1), ("reasons", ["why"]),
        ("reasons", {"receiver-0": "x" * 301}), ("reasons", {"receiver-0": None}),
        ("reasons", {str(number): "" for number in range(17)}),
    ],
)  # fmt: skip
def test_what_no_collector_says_is_refused(name: str, value: Any) -> None:
    key, encoded = encode_collector(RECORD)
    content = json.loads(encoded) | {name: value}

    with pytest.raises(CollectorRecordError):
        decode_collector(key, json.dumps(content).encode())


@pytest.mark.parametrize(
    "value",
    [b"", b"no json", b"7", b"[]", b"{}", b"\xff", b"[" * 10_000, b" " * (VALUE_BYTES_MAX + 1)],
)
def test_what_is_no_record_is_refused(value: bytes) -> None:
    with pytest.raises(CollectorRecordError):
        decode_collector(b"collector-1/0", value)


@pytest.mark.parametrize("key", [None, b"", b"collector-1/1"])
def test_a_record_under_another_key_is_refused(key: bytes | None) -> None:
    with pytest.raises(CollectorRecordError):
        decode_collector(key, encode_collector(RECORD)[1])

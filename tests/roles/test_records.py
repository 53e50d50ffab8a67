"""Records of `ha.log`: what was written once is read for ever, and junk is named."""

import json

import pytest

from shared.roles.records import (
    Claim,
    Config,
    DeathNotice,
    Departure,
    Handover,
    Heartbeat,
    Record,
    RecordError,
    Snapshot,
    SwitchoverRequest,
    Tick,
    decode_record,
    encode_record,
)

# Never change a line: these bytes are in somebody's log.
STORED: list[tuple[bytes, Record]] = [
    (b'{"is":"tick","registry":"r1"}', Tick("r1")),
    (
        b'{"is":"heartbeat","node":"a","incarnation":"a/1","epoch":7,"acknowledged_ticks":12,'
        b'"number":3,"priority":100,"position":9,"lag_s":0.5,"is_fit":true,"has_acted":true,'
        b'"barrier":2,"url":"http://127.0.0.1:8470"}',
        Heartbeat(
            node="a", incarnation="a/1", epoch=7, acknowledged_ticks=12, number=3, position=9,
            lag_s=0.5, has_acted=True, barrier=2, url="http://127.0.0.1:8470",
        ),
    ),
    (
        b'{"is":"heartbeat","node":"c","incarnation":"c/1","epoch":7,"acknowledged_ticks":12,'
        b'"is_fit":false,"copies_only":true}',
        Heartbeat(
            node="c", incarnation="c/1", epoch=7, acknowledged_ticks=12, is_fit=False,
            copies_only=True,
        ),
    ),
    (b'{"is":"death","incarnation":"a/1","seen_by":"up"}', DeathNotice("a/1", "up")),
    (b'{"is":"departure","node":"c","by":"r1"}', Departure("c", "r1")),
    (
        b'{"is":"claim","incarnation":"b/1","expected_epoch":7,"reason":"silent","by":"r1",'
        b'"is_forced":false}',
        Claim(incarnation="b/1", expected_epoch=7, reason="silent", by="r1"),
    ),
    (b'{"is":"handover","incarnation":"a/1","to":"b/1"}', Handover("a/1", "b/1")),
    (b'{"is":"request","to":"b","by":"someone"}', SwitchoverRequest("b", "someone")),
    (
        b'{"is":"config","period_ms":400,"dead_ticks":7,"hold_down_s":60.0,"maximum_lag_s":30.0,'
        b'"is_paused":true,"generation":1,"fold_version":1,"by":"r1"}',
        Config(is_paused=True, by="r1"),
    ),
    (b'{"is":"snapshot","offset":4,"fold_version":1,"state":"{}"}', Snapshot(4, 1, "{}")),
]  # fmt: skip


@pytest.mark.parametrize(("stored", "record"), STORED)
def test_what_is_stored_stays_readable(stored: bytes, record: Record) -> None:
    assert decode_record(stored) == record
    assert json.loads(stored).items() <= json.loads(encode_record(record)).items()
    assert decode_record(encode_record(record)) == record


def test_a_field_of_a_later_release_is_left_out() -> None:
    assert decode_record(b'{"is":"tick","registry":"r1","colour":"red"}') == Tick("r1")


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"is": "nothing"},
        {"is": "tick"},
        {"is": "tick", "registry": 5},
        {"is": "tick", "registry": "x" * 201},
        {"is": "tick", "registry": "a\nb"},
        {"is": "heartbeat", "node": "a", "incarnation": "a/1", "epoch": "7",
         "acknowledged_ticks": 1},
        {"is": "heartbeat", "node": "a", "incarnation": "a/1", "epoch": 7,
         "acknowledged_ticks": -1},
        {"is": "heartbeat", "node": "a", "incarnation": "a/1", "epoch": 7,
         "acknowledged_ticks": 1, "lag_s": "none"},
        {"is": "heartbeat", "node": "a", "incarnation": "a/1", "epoch": 7,
         "acknowledged_ticks": 1, "lag_s": float("inf")},
        {"is": "heartbeat", "node": "a", "incarnation": "a/1", "epoch": 7,
         "acknowledged_ticks": 1, "lag_s": 10**400},
        {"is": "heartbeat", "node": "a", "incarnation": "a/1", "epoch": 7,
         "acknowledged_ticks": 1, "copies_only": 1},
        {"is": "departure", "node": 7, "by": "r1"},
        {"is": "claim", "incarnation": "a/1", "expected_epoch": 1.5, "reason": "", "by": ""},
        {"is": "config", "period_ms": 1},
        {"is": "config", "dead_ticks": 40},
        {"is": "config", "hold_down_s": -1},
        {"is": "config", "generation": "x"},
    ],
)  # fmt: skip
def test_junk_is_named_and_never_folded(content: dict[str, object]) -> None:
    with pytest.raises(RecordError):
        decode_record(json.dumps(content).encode())


@pytest.mark.parametrize("value", [None, b"", b"\xff", b"[]", b"5", b"[" * 100_000])
def test_bytes_that_are_no_record_are_named(value: bytes | None) -> None:
    with pytest.raises(RecordError):
        decode_record(value)

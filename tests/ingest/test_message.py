"""The short way through a datagram with one data set reads what the long way reads."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.decode import ipfix, netflow9
from services.ingest.decode.malformed import DecodeError
from services.ingest.decode.message import read_one_set, walk_sets


def message(version: int, sets: list[tuple[int, bytes]], *, extra: bytes = b"") -> bytes:
    body = b"".join(struct.pack(">HH", set_id, 4 + len(data)) + data for set_id, data in sets)
    if version == 9:
        return struct.pack(">HHIIII", 9, 1, 5_000, 1_790_000_000, 7, 42) + body + extra
    return struct.pack(">HHIII", 10, 16 + len(body), 1_790_000_000, 7, 42) + body + extra


def walked(payload: bytes) -> tuple[int, int, int, int, int, int] | None:
    """Return what headers and walk say of a datagram that is one message with one data set."""
    if payload[:2] not in (b"\0\x09", b"\0\x0a"):
        return None
    read = netflow9.read_message if payload[1] == 9 else ipfix.read_message
    try:
        found = read(payload, 0)
        sets = list(walk_sets(payload, found))
    except DecodeError:
        return None
    if len(sets) != 1 or not sets[0].whole or sets[0].set_id < 256:
        return None
    if sets[0].end != len(payload) or found.next != len(payload):
        return None
    return (
        found.version, found.domain, found.export_ms, found.uptime_ms, sets[0].set_id,
        sets[0].start,
    )  # fmt: skip


def test_one_data_set_is_read_as_the_walk_reads_it() -> None:
    for version in (9, 10):
        payload = message(version, [(256, bytes(range(40)))])
        assert read_one_set(payload) == walked(payload) is not None


def test_anything_but_one_whole_data_set_goes_the_long_way() -> None:
    for version in (9, 10):
        assert read_one_set(message(version, [(256, b"abcd"), (257, b"efgh")])) is None
        assert read_one_set(message(version, [(256, b"abcd")], extra=b"\0\0")) is None
        assert read_one_set(message(version, [(2, b"abcd")])) is None
        assert read_one_set(message(version, [(256, b"abcd")])[:-1]) is None
        assert read_one_set(message(version, [])) is None
    assert read_one_set(b"\0\x05" + bytes(70)) is None


@given(
    st.sampled_from([9, 10]),
    st.lists(st.tuples(st.integers(0, 300), st.binary(max_size=12)), max_size=2),
    st.binary(max_size=6),
    st.integers(0, 40),
)
def test_both_ways_agree_on_any_bytes(
    version: int, sets: list[tuple[int, bytes]], extra: bytes, cut: int
) -> None:
    payload = message(version, sets, extra=extra)
    payload = payload[: len(payload) - cut]

    assert read_one_set(payload) == walked(payload)

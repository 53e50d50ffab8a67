"""A NetFlow v9 or IPFIX message as its header gives it, and the sets inside."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from services.ingest.decode.malformed import DecodeError
from services.ingest.decode.times import UPTIME_UNKNOWN
from shared.losses import LossReason

_SET_HEADER = struct.Struct(">HH")

# The header of a message and of its first set: RFC 3954 sections 5.1 and 5.3, RFC 7011 sections
# 3.1 and 3.3.2.
_V9_SET = struct.Struct(">HHIIIIHH")
_IPFIX_SET = struct.Struct(">HHIIIHH")
_V9, _IPFIX = b"\0\x09", b"\0\x0a"


class Message(NamedTuple):
    """One message of a datagram.

    domain: the observation domain (v9: Source ID). export_ms: time of the header, ms since 1970.
    uptime_ms: sysUptime of the header, -1 in IPFIX. sequence: packets so far in v9, data records in
    IPFIX, modulo 2**32. start, end: where its sets lie in the payload;
    next: where the next message would begin. cut: the payload ends before the message does.
    """

    version: int
    domain: int
    export_ms: int
    uptime_ms: int
    start: int
    end: int
    next: int
    cut: bool
    sequence: int


class SetBounds(NamedTuple):
    """A set: its id, and where its body lies. whole: its length fits into the message."""

    set_id: int
    start: int
    end: int
    whole: bool


def walk_sets(payload: bytes, message: Message) -> Iterator[SetBounds]:
    """Yield the sets of a message; the last one may be cut (`whole` is False).

    Raises DecodeError at a length that leads nowhere. A tail of zeros ends the walk: some exporters
    fill the datagram up with them.
    """
    at, end = message.start, message.end
    while end - at >= 4:
        set_id, length = _SET_HEADER.unpack_from(payload, at)
        if length < 4:
            if not any(payload[at:end]):
                return
            raise DecodeError(LossReason.BAD_SET_LENGTH, f"set {set_id} has length {length}")
        stop = at + length
        if stop > end:
            yield SetBounds(set_id, at + 4, end, False)
            return
        yield SetBounds(set_id, at + 4, stop, True)
        at = stop


def read_one_set(payload: bytes) -> tuple[int, int, int, int, int, int] | None:
    """Read a datagram that is one message with one data set, to its last byte; None for any other.

    Returns version, domain, export_ms, uptime_ms, set id and where the set's body starts, the same
    as reading the header and walking the sets would.
    """
    size = len(payload)
    if size >= _V9_SET.size and payload[:2] == _V9:
        _, _, uptime_ms, seconds, _, domain, set_id, length = _V9_SET.unpack_from(payload)
        version, start = 9, _V9_SET.size
    elif size >= _IPFIX_SET.size and payload[:2] == _IPFIX:
        _, whole, seconds, _, domain, set_id, length = _IPFIX_SET.unpack_from(payload)
        if whole != size:
            return None
        version, uptime_ms, start = 10, UPTIME_UNKNOWN, _IPFIX_SET.size
    else:
        return None
    if set_id < 256 or start + length - _SET_HEADER.size != size:
        return None
    return version, domain, seconds * 1000, uptime_ms, set_id, start

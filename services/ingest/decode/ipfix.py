"""IPFIX: the message header (RFC 7011 section 3.1)."""

import struct

from services.ingest.decode.malformed import DecodeError
from services.ingest.decode.message import Message
from services.ingest.decode.times import UPTIME_UNKNOWN
from shared.losses import LossReason

_HEADER = struct.Struct(">HHIII")


def read_message(payload: bytes, start: int) -> Message:
    """Read the header at `start`; the message ends by its own length, another may follow."""
    if len(payload) - start < _HEADER.size:
        raise DecodeError(LossReason.TRUNCATED, "the datagram ends inside an IPFIX header")
    _, length, seconds, sequence, domain = _HEADER.unpack_from(payload, start)
    if length < _HEADER.size:
        raise DecodeError(LossReason.BAD_SET_LENGTH, f"an IPFIX message of {length} bytes")
    end = start + length
    return Message(
        version=10,
        domain=domain,
        export_ms=seconds * 1000,
        uptime_ms=UPTIME_UNKNOWN,
        start=start + _HEADER.size,
        end=min(end, len(payload)),
        next=end,
        cut=end > len(payload),
        sequence=sequence,
    )

"""NetFlow v9: the message header (RFC 3954 section 5.1)."""

import struct

from services.ingest.decode.malformed import DecodeError
from services.ingest.decode.message import Message
from shared.losses import LossReason

_HEADER = struct.Struct(">HHIIII")


def read_message(payload: bytes, start: int) -> Message:
    """Read the header at `start`; the sets go on to the end of the datagram.

    Its Count is not trusted: it counts records, or sets with some exporters.
    """
    if len(payload) - start < _HEADER.size:
        raise DecodeError(LossReason.TRUNCATED, "the datagram ends inside a v9 header")
    _, _, uptime_ms, seconds, sequence, domain = _HEADER.unpack_from(payload, start)
    return Message(
        9,
        domain,
        seconds * 1000,
        uptime_ms,
        start + _HEADER.size,
        len(payload),
        len(payload),
        False,
        sequence,
    )

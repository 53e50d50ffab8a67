"""NetFlow v5: a fixed header and records whose layout is written down here as a template."""

import struct
from typing import NamedTuple

from services.ingest.decode.malformed import DecodeError
from services.ingest.decode.templates import Definition
from shared.losses import LossReason

HEADER_BYTES = 24
RECORD_BYTES = 48
_HEADER = struct.Struct(">HHIIIIBBH")
_RECORDS_MAX = 30

# Cisco's "NetFlow Export Datagram Format", tables B-3 and B-4, in elements: (0, element, bytes).
DEFINITION = Definition(
    (
        (0, 8, 4),  # srcaddr
        (0, 12, 4),  # dstaddr
        (0, 15, 4),  # nexthop
        (0, 10, 2),  # input
        (0, 14, 2),  # output
        (0, 2, 4),  # dPkts
        (0, 1, 4),  # dOctets
        (0, 22, 4),  # First
        (0, 21, 4),  # Last
        (0, 7, 2),  # srcport
        (0, 11, 2),  # dstport
        (0, 210, 1),  # pad1
        (0, 6, 1),  # tcp_flags
        (0, 4, 1),  # prot
        (0, 5, 1),  # tos
        (0, 16, 2),  # src_as
        (0, 17, 2),  # dst_as
        (0, 9, 1),  # src_mask
        (0, 13, 1),  # dst_mask
        (0, 210, 2),  # pad2
    )
)


class Header(NamedTuple):
    """What records take from their header.

    domain: engine type * 256 + engine id; sampling_rate: 0 when the header does not say.
    """

    records: int
    export_ms: int
    uptime_ms: int
    domain: int
    sampling_rate: int


def read_header(payload: bytes, start: int) -> Header:
    """Read the header at `start`; raises DecodeError when the count cannot be meant.

    A count above 30 is taken when the bytes are there. One of up to 30 that is cut short stays:
    the caller decodes what is whole.
    """
    room = len(payload) - start - HEADER_BYTES
    if room < 0:
        raise DecodeError(LossReason.TRUNCATED, "the datagram ends inside a v5 header")
    _, count, uptime_ms, seconds, nanoseconds, _, engine_type, engine_id, sampling = (
        _HEADER.unpack_from(payload, start)
    )
    if count == 0 or (count > _RECORDS_MAX and count * RECORD_BYTES > room):
        raise DecodeError(
            LossReason.BAD_COUNT, f"{count} records in {room} bytes", flows=room // RECORD_BYTES
        )
    return Header(
        count,
        seconds * 1000 + nanoseconds // 1_000_000,
        uptime_ms,
        engine_type << 8 | engine_id,
        # The top 2 bits are the sampling mode.
        sampling & 0x3FFF,
    )

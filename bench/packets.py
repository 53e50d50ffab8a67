"""The datagrams that every collector under measurement gets: built before, seeded, pure.

The flows are those of `steadflow traffic`: an invented network with a few loud and many quiet
hosts, so that compression has as much to do as with real ones. The records are what a router's
standard template carries; IPv4 alone, because NetFlow v5 knows nothing else.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cli.export import IPFIX_HEADER, SET_HEADER, V5_HEADER, V5_RECORD, V9_HEADER
from cli.generate import Flows, World, make_flows, make_world

EXPORTERS = 8
BURST = 8
"""Datagrams that one exporter sends at once before the next one's turn."""
TEMPLATE = 256
TEMPLATE_EVERY = 500
UPTIME_MS = 30 * 86_400_000
_INTERFACES = 24

_NAMED = (
    ("src", 8, ">u4"), ("dst", 12, ">u4"), ("next_hop", 15, ">u4"), ("in_if", 10, ">u4"),
    ("out_if", 14, ">u4"), ("src_as", 16, ">u4"), ("dst_as", 17, ">u4"), ("src_port", 7, ">u2"),
    ("dst_port", 11, ">u2"), ("protocol", 4, "u1"), ("tcp_flags", 6, "u1"), ("tos", 5, "u1"),
    ("direction", 61, "u1"), ("src_prefix", 9, "u1"), ("dst_prefix", 13, "u1"),
)  # fmt: skip
_V9_FIELDS = (
    *_NAMED, ("packets", 2, ">u4"), ("bytes", 1, ">u4"), ("first", 22, ">u4"), ("last", 21, ">u4")
)  # fmt: skip
_IPFIX_FIELDS = (
    *_NAMED, ("packets", 2, ">u8"), ("bytes", 1, ">u8"), ("first", 152, ">u8"),
    ("last", 153, ">u8"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of traffic. version: 5, 9 or 10 (IPFIX); per_datagram: flows in each datagram."""

    name: str
    version: int
    per_datagram: int


LOADS = (
    Load("v5-30", 5, 30),
    Load("v9-24", 9, 24),
    Load("v9-2", 9, 2),
    Load("ipfix-18", 10, 18),
)


class Packet(NamedTuple):
    """exporter: its number from 0. flows: data records inside."""

    exporter: int
    flows: int
    payload: bytes


def make_packets(load: Load, flows: int, *, now_ms: int, seed: int = 1) -> list[Packet]:
    """Return about `flows` flows as datagrams of `EXPORTERS` exporters in sending order.

    now_ms: UTC, for the headers. Every exporter sends its template first.
    """
    world = make_world(seed)
    each = max(1, flows // EXPORTERS // load.per_datagram) * load.per_datagram
    queues = [
        _exporter(load, world, number, each, now_ms=now_ms, seed=seed)
        for number in range(EXPORTERS)
    ]
    packets: list[Packet] = []
    while queues:
        still = []
        for queue in queues:
            some = list(islice(queue, BURST))
            packets += some
            if len(some) == BURST:
                still.append(queue)
        queues = still
    return packets


def _exporter(
    load: Load, world: World, number: int, flows: int, *, now_ms: int, seed: int
) -> Iterator[Packet]:
    rng = np.random.default_rng([seed, load.version, load.per_datagram, number])
    made = make_flows(world, rng, flows, hour=15.0, interfaces=_INTERFACES, v6=0.0)
    records = _records(load, made, world, now_ms)
    size = load.per_datagram * records.dtype.itemsize
    data = records.tobytes()
    sequence = 0
    for index, start in enumerate(range(0, len(data), size)):
        if load.version != 5 and index % TEMPLATE_EVERY == 0:
            body = _template_set(load)
            yield Packet(number, 0, _header(load, len(body), 1, sequence, number, now_ms) + body)
            sequence += load.version == 9
        body = data[start : start + size]
        if load.version != 5:
            body += bytes(-len(body) % 4)
            body = SET_HEADER.pack(TEMPLATE, SET_HEADER.size + len(body)) + body
        header = _header(load, len(body), load.per_datagram, sequence, number, now_ms)
        yield Packet(number, load.per_datagram, header + body)
        # RFC 3954 section 5.1 counts datagrams; v5 and RFC 7011 section 3.1 count records.
        sequence += 1 if load.version == 9 else load.per_datagram


def _records(load: Load, flows: Flows, world: World, now_ms: int) -> NDArray[np.void]:
    dtype = V5_RECORD if load.version == 5 else np.dtype([(n, code) for n, _, code in _of(load)])
    records = np.zeros(flows.size, dtype)
    for name in dtype.names or ():
        if name in ("src", "dst"):
            records[name] = world.v4[flows[name]]
        elif name in (flows.dtype.names or ()):
            records[name] = flows[name]
    records["src_prefix"] = records["dst_prefix"] = 24
    records["next_hop"] = np.uint32(0xC0000200) + (flows["out_if"] & 0xFF)  # 192.0.2.0/24
    end_ms = now_ms if load.version == 10 else UPTIME_MS
    records["last"] = end_ms - flows["age_ms"].astype(np.int64)
    records["first"] = records["last"].astype(np.int64) - flows["duration_ms"]
    return records


def _of(load: Load) -> tuple[tuple[str, int, str], ...]:
    return _V9_FIELDS if load.version == 9 else _IPFIX_FIELDS


def _template_set(load: Load) -> bytes:
    fields = [
        struct.pack("!HH", element, np.dtype(code).itemsize) for _, element, code in _of(load)
    ]
    body = struct.pack("!HH", TEMPLATE, len(fields)) + b"".join(fields)
    return SET_HEADER.pack(0 if load.version == 9 else 2, SET_HEADER.size + len(body)) + body


def _header(
    load: Load, body_bytes: int, records: int, sequence: int, exporter: int, now_ms: int
) -> bytes:
    seconds, ms = divmod(now_ms, 1000)
    if load.version == 5:
        return V5_HEADER.pack(
            5, records, UPTIME_MS, seconds, ms * 1_000_000, sequence, 0, exporter, 0
        )
    if load.version == 9:
        return V9_HEADER.pack(9, records, UPTIME_MS, seconds, sequence, exporter)
    length = IPFIX_HEADER.size + body_bytes
    return IPFIX_HEADER.pack(10, length, seconds, sequence, exporter)

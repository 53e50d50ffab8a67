"""Exporters that put flows into NetFlow v5, v9 and IPFIX datagrams: pure, no clock, no socket.

Everything of a record that does not depend on the moment is set for a whole array at once; the
headers are packed one by one.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import numpy as np

from cli.generate import Flows, World, make_flows, make_world

Version = Literal["v5", "v9", "ipfix"]
VERSIONS: tuple[Version, ...] = get_args(Version)
Templates = Literal["once", "periodic"]

TEMPLATE_EVERY_DATAGRAMS = 200
TEMPLATE_EVERY_MS = 30_000

TEMPLATE_V4 = 256
TEMPLATE_V6 = 257

V5_HEADER = struct.Struct("!HHIIIIBBH")
V9_HEADER = struct.Struct("!HHIIII")
IPFIX_HEADER = struct.Struct("!HHIII")
SET_HEADER = struct.Struct("!HH")

V5_RECORD = np.dtype(
    [
        ("src", ">u4"), ("dst", ">u4"), ("next_hop", ">u4"), ("in_if", ">u2"), ("out_if", ">u2"),
        ("packets", ">u4"), ("bytes", ">u4"), ("first", ">u4"), ("last", ">u4"),
        ("src_port", ">u2"), ("dst_port", ">u2"), ("pad1", "u1"), ("tcp_flags", "u1"),
        ("protocol", "u1"), ("tos", "u1"), ("src_as", ">u2"), ("dst_as", ">u2"),
        ("src_prefix", "u1"), ("dst_prefix", "u1"), ("pad2", ">u2"),
    ]
)  # fmt: skip

# (name, element, dtype): the fields of a template in wire order. All lengths of a record add up
# to a multiple of 4, so that sets need no padding.
_COUNTERS = (("packets", 2, ">u8"), ("bytes", 1, ">u8"))
_TAIL = (
    ("src_port", 7, ">u2"), ("dst_port", 11, ">u2"), ("in_if", 10, ">u4"), ("out_if", 14, ">u4"),
    ("src_as", 16, ">u4"), ("dst_as", 17, ">u4"), ("vlan", 58, ">u2"), ("protocol", 4, "u1"),
    ("tcp_flags", 6, "u1"), ("tos", 5, "u1"), ("direction", 61, "u1"),
)  # fmt: skip
_V4 = (("src", 8, ">u4"), ("dst", 12, ">u4"), ("next_hop", 15, ">u4"))
_V4_MASKS = (("src_prefix", 9, "u1"), ("dst_prefix", 13, "u1"))
_V6 = (("src", 27, "(16,)u1"), ("dst", 28, "(16,)u1"), ("next_hop", 62, "(16,)u1"))
_V6_MASKS = (("src_prefix", 29, "u1"), ("dst_prefix", 30, "u1"))
_V9_TIMES = (("last", 21, ">u4"), ("first", 22, ">u4"))
_IPFIX_TIMES = (("first", 152, ">u8"), ("last", 153, ">u8"))

Fields = tuple[tuple[str, int, str], ...]
FIELDS: dict[tuple[Version, bool], Fields] = {
    ("v9", False): (*_V4, *_COUNTERS, *_V9_TIMES, *_TAIL, *_V4_MASKS),
    ("v9", True): (*_V6, *_COUNTERS, *_V9_TIMES, *_TAIL, *_V6_MASKS),
    ("ipfix", False): (*_V4, *_COUNTERS, *_IPFIX_TIMES, *_TAIL, *_V4_MASKS),
    ("ipfix", True): (*_V6, *_COUNTERS, *_IPFIX_TIMES, *_TAIL, *_V6_MASKS),
}
RECORDS = {
    key: np.dtype([(name, code) for name, _, code in fields]) for key, fields in FIELDS.items()
}

_COPIED = frozenset(
    {
        "src_port", "dst_port", "protocol", "tcp_flags", "tos", "direction", "in_if", "out_if",
        "src_as", "dst_as", "vlan", "packets", "bytes",
    }
)  # fmt: skip

V5_RECORDS_MAX = 30
"""Cisco's own limit for the count field of NetFlow v5."""
PAYLOAD_BYTES_MAX = 1400
"""Real exporters stay below an Ethernet frame, so that no datagram is cut on its way."""


class Datagram(NamedTuple):
    """One UDP payload and what it carries: the numbers a collector must arrive at."""

    payload: bytes
    flows: int
    bytes: int
    packets: int


@dataclass(frozen=True, slots=True)
class Exporter:
    """One router: number counts from 0; booted_at_ms is wall-clock time."""

    number: int
    version: Version
    domain: int
    interfaces: int
    booted_at_ms: int


@dataclass(slots=True)
class ExporterProcess:
    """What an exporter remembers between datagrams: its sequence number and its templates' age.

    sequence counts flows for v5, datagrams for v9, data records for IPFIX (RFC 3954 section 5.1,
    RFC 7011 section 3.1).
    """

    exporter: Exporter
    world: World
    rng: np.random.Generator
    templates: Templates = "periodic"
    sequence: int = 0
    _datagrams_since_templates: int = field(default=-1)
    _templates_sent_at_ms: int = field(default=0)

    @property
    def flows_per_datagram(self) -> int:
        """How many flows fill one datagram, about."""
        return 30 if self.exporter.version == "v5" else 20

    def export(self, count: int, now_ms: int, hour: float) -> list[Datagram]:
        """Return datagrams with exactly `count` new flows, templates in front where they are due.

        now_ms: wall clock, UTC, for the headers; hour: local hour of the day, for the traffic.
        """
        is_v5 = self.exporter.version == "v5"
        flows = make_flows(
            self.world,
            self.rng,
            count,
            hour=hour,
            interfaces=self.exporter.interfaces,
            v6=0.0 if is_v5 else 0.15,
        )
        if is_v5:
            return self._export_v5(flows, now_ms)
        datagrams = self._export_templates(now_ms)
        for is_v6 in (False, True):
            datagrams += self._export_set(flows[flows["is_v6"] == is_v6], is_v6, now_ms)
        return datagrams

    def _export_v5(self, flows: Flows, now_ms: int) -> list[Datagram]:
        records = np.zeros(flows.size, V5_RECORD)
        _copy(records, flows, self.world, is_v6=False)
        uptime_ms = self._uptime_ms(now_ms)
        last = uptime_ms - flows["age_ms"].astype(np.int64)
        # sysUptime wraps after 49.7 days.
        records["last"] = last & 0xFFFFFFFF
        records["first"] = (last - flows["duration_ms"]) & 0xFFFFFFFF
        seconds, milliseconds = divmod(now_ms, 1000)
        datagrams = []
        for part in _cuts(flows.size, V5_RECORDS_MAX):
            count = part.stop - part.start
            header = V5_HEADER.pack(
                5, count, uptime_ms & 0xFFFFFFFF, seconds, milliseconds * 1_000_000,
                self.sequence & 0xFFFFFFFF, 0, self.exporter.domain & 0xFF, 0,
            )  # fmt: skip
            datagrams.append(_datagram(header, records[part], flows[part]))
            self.sequence += count
        return datagrams

    def _export_templates(self, now_ms: int) -> list[Datagram]:
        first = self._datagrams_since_templates < 0
        old = (
            self._datagrams_since_templates >= TEMPLATE_EVERY_DATAGRAMS
            or now_ms - self._templates_sent_at_ms >= TEMPLATE_EVERY_MS
        )
        if not first and (self.templates == "once" or not old):
            return []
        self._datagrams_since_templates = 0
        self._templates_sent_at_ms = now_ms
        body = template_set(self.exporter.version)
        header = self._header(len(body), 2, now_ms)
        if self.exporter.version == "v9":
            self.sequence += 1
        return [Datagram(header + body, 0, 0, 0)]

    def _export_set(self, flows: Flows, is_v6: bool, now_ms: int) -> list[Datagram]:
        version = self.exporter.version
        records = np.zeros(flows.size, RECORDS[version, is_v6])
        _copy(records, flows, self.world, is_v6=is_v6)
        end_ms = self._uptime_ms(now_ms) if version == "v9" else now_ms
        last = end_ms - flows["age_ms"].astype(np.int64)
        first = last - flows["duration_ms"]
        width = 0xFFFFFFFF if version == "v9" else (1 << 63) - 1
        records["last"] = last & width
        records["first"] = first & width
        set_id = TEMPLATE_V6 if is_v6 else TEMPLATE_V4
        fits = (PAYLOAD_BYTES_MAX - V9_HEADER.size - SET_HEADER.size) // records.dtype.itemsize
        datagrams = []
        for part in _cuts(flows.size, fits):
            count = part.stop - part.start
            set_bytes = SET_HEADER.size + count * records.dtype.itemsize
            header = self._header(set_bytes, count, now_ms) + SET_HEADER.pack(set_id, set_bytes)
            datagrams.append(_datagram(header, records[part], flows[part]))
            self.sequence += 1 if version == "v9" else count
            self._datagrams_since_templates += 1
        return datagrams

    def _header(self, body_bytes: int, records: int, now_ms: int) -> bytes:
        domain, sequence = self.exporter.domain, self.sequence & 0xFFFFFFFF
        if self.exporter.version == "v9":
            uptime_ms = self._uptime_ms(now_ms) & 0xFFFFFFFF
            return V9_HEADER.pack(9, records, uptime_ms, now_ms // 1000, sequence, domain)
        length = IPFIX_HEADER.size + body_bytes
        return IPFIX_HEADER.pack(10, length, now_ms // 1000, sequence, domain)

    def _uptime_ms(self, now_ms: int) -> int:
        return now_ms - self.exporter.booted_at_ms


def template_set(version: Version) -> bytes:
    """Return the set that defines both templates (RFC 3954 section 5.2, RFC 7011 section 3.4.1)."""
    body = b""
    for template, is_v6 in ((TEMPLATE_V4, False), (TEMPLATE_V6, True)):
        fields, record = FIELDS[version, is_v6], RECORDS[version, is_v6]
        body += struct.pack("!HH", template, len(fields))
        for name, element, _ in fields:
            body += struct.pack("!HH", element, record[name].itemsize)
    return SET_HEADER.pack(0 if version == "v9" else 2, SET_HEADER.size + len(body)) + body


def make_exporters(
    count: int, versions: Sequence[Version], *, seed: int, now_ms: int
) -> list[Exporter]:
    """Return `count` exporters that take `versions` in turn and were booted 1 to 40 days ago."""
    rng = np.random.default_rng([seed, 2])
    return [
        Exporter(
            number=number,
            version=versions[number % len(versions)],
            domain=number % 200 + 1,
            interfaces=int(rng.integers(6, 48)),
            booted_at_ms=now_ms - int(rng.integers(1, 40)) * 86_400_000,
        )
        for number in range(count)
    ]


def start_exporters(
    exporters: Sequence[Exporter], *, seed: int, templates: Templates
) -> list[ExporterProcess]:
    """Return the exporters as they are right after their start, on one common network."""
    world = make_world(seed)
    return [
        ExporterProcess(e, world, np.random.default_rng([seed, 3, e.number]), templates)
        for e in exporters
    ]


def _copy(records: Flows, flows: Flows, world: World, *, is_v6: bool) -> None:
    names = records.dtype.names or ()
    for name in names:
        if name in ("src", "dst"):
            records[name] = world.v6[flows[name]] if is_v6 else world.v4[flows[name]]
        elif name in _COPIED:
            records[name] = flows[name]
    records["src_prefix"] = records["dst_prefix"] = 48 if is_v6 else 24
    if is_v6:
        records["next_hop"][:, :4] = (0x20, 0x01, 0x0D, 0xB8)
        records["next_hop"][:, 15] = flows["out_if"] & 0xFF
    else:
        records["next_hop"] = np.uint32(0xC0000200) + (flows["out_if"] & 0xFF)  # 192.0.2.0/24


def _cuts(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def _datagram(header: bytes, records: Flows, flows: Flows) -> Datagram:
    return Datagram(
        payload=header + records.tobytes(),
        flows=flows.size,
        bytes=int(flows["bytes"].sum(dtype=np.uint64)),
        packets=int(flows["packets"].sum(dtype=np.uint64)),
    )

"""Frames of a capture taken apart down to the UDP datagram; IP fragments are put together."""

import struct
from collections import Counter, OrderedDict
from typing import NamedTuple

from shared.addresses import V4_PREFIX

_IPV4 = 0x0800
_IPV6 = 0x86DD
_VLAN_TYPES = frozenset({0x8100, 0x88A8, 0x9100})
_UDP = 17
_FRAGMENT_HEADER = 44
# Hop-by-hop, routing and destination options (RFC 8200 section 4): next header, length in 8 bytes.
_EXTENSION_HEADERS = frozenset({0, 43, 60})
_FRAGMENT_AGE_MS = 30_000
_FRAGMENTED_MAX = 256
_FRAGMENTED_BYTES_MAX = 8 << 20

Found = tuple[bytes, int, int, bytes]


class _Packet(NamedTuple):
    """An IP packet: addresses as 16 bytes; offset in bytes, and `more` as the fragment says."""

    source: bytes
    destination: bytes
    protocol: int
    payload: bytes
    identification: int = 0
    offset: int = 0
    more: bool = False


class _Skip(Exception):
    """A frame without a UDP datagram; the argument is the reason counted."""


class FrameReader:
    """Finds the UDP datagram of one frame after the other; keeps fragments between calls."""

    def __init__(self) -> None:
        """Start without fragments."""
        self.skipped: Counter[str] = Counter()
        self._fragments = _Fragments()

    def datagram(self, link_type: int, frame: bytes, time_ms: int) -> Found | None:
        """Return (source, source port, destination port, payload), or None and count why not."""
        try:
            packet = _ip_packet(*_network_layer(link_type, frame))
            if packet.protocol != _UDP:
                raise _Skip("not_udp")
            if packet.offset or packet.more:
                whole = self._fragments.add(packet, time_ms)
                if whole is None:
                    raise _Skip("fragment")
                packet = packet._replace(payload=whole)
            source_port, destination_port, size, _ = struct.unpack_from(">HHHH", packet.payload)
        except _Skip as skip:
            self.skipped[str(skip)] += 1
            return None
        except (struct.error, IndexError):
            self.skipped["cut_header"] += 1
            return None
        # Length 0 stands for more than 65,535 bytes; a shorter payload was cut by the snapshot.
        payload = packet.payload[8:size] if size >= 8 else packet.payload[8:]
        return packet.source, source_port, destination_port, payload


def _network_layer(link_type: int, frame: bytes) -> tuple[int, bytes]:
    """Return EtherType and network layer of a frame (link types: tcpdump.org/linktypes)."""
    match link_type:
        case 1:
            return _past_vlans(struct.unpack_from(">H", frame, 12)[0], frame[14:])
        case 113:
            return _past_vlans(struct.unpack_from(">H", frame, 14)[0], frame[16:])
        case 276:
            return _past_vlans(struct.unpack_from(">H", frame, 0)[0], frame[20:])
        case 0 | 108:
            return _by_version(frame[4:])
        case 12 | 14 | 101 | 228 | 229:
            return _by_version(frame)
        case _:
            raise _Skip(f"link_type_{link_type}")


def _past_vlans(ether_type: int, rest: bytes) -> tuple[int, bytes]:
    while ether_type in _VLAN_TYPES:
        ether_type = struct.unpack_from(">H", rest, 2)[0]
        rest = rest[4:]
    return ether_type, rest


def _by_version(rest: bytes) -> tuple[int, bytes]:
    # The address family of a loopback header differs by system and byte order; the packet tells.
    return (_IPV6 if rest[0] >> 4 == 6 else _IPV4), rest


def _ip_packet(ether_type: int, rest: bytes) -> _Packet:
    if ether_type == _IPV4:
        return _ipv4(rest)
    if ether_type == _IPV6:
        return _ipv6(rest)
    raise _Skip("not_ip")


def _ipv4(packet: bytes) -> _Packet:
    start, _, size, identification, fragment = struct.unpack_from(">BBHHH", packet)
    header_bytes = (start & 15) * 4
    if start >> 4 != 4 or header_bytes < 20:
        raise _Skip("not_ip")
    source, destination = struct.unpack_from(">4s4s", packet, 12)
    return _Packet(
        V4_PREFIX + source,
        V4_PREFIX + destination,
        packet[9],
        # Length 0: the sending kernel left segmentation to the card.
        packet[header_bytes : size or None],
        identification,
        (fragment & 0x1FFF) * 8,
        bool(fragment & 0x2000),
    )


def _ipv6(packet: bytes) -> _Packet:
    start, size, protocol = struct.unpack_from(">IHB", packet)
    if start >> 28 != 6:
        raise _Skip("not_ip")
    source, destination = struct.unpack_from(">16s16s", packet, 8)
    rest = packet[40 : 40 + size] if size else packet[40:]
    identification = offset = 0
    more = False
    while True:
        if protocol in _EXTENSION_HEADERS:
            protocol, length = rest[0], (rest[1] + 1) * 8
        elif protocol == _FRAGMENT_HEADER:
            protocol, length = rest[0], 8
            place, identification = struct.unpack_from(">HI", rest, 2)
            offset, more = place & 0xFFF8, bool(place & 1)
            if offset:
                return _Packet(
                    source, destination, protocol, rest[8:], identification, offset, more
                )
        else:
            return _Packet(source, destination, protocol, rest, identification, offset, more)
        rest = rest[length:]


class _Pending:
    """The fragments of one datagram so far; `end` is its length once the last one is here."""

    __slots__ = ("at_ms", "end", "held_bytes", "parts")

    def __init__(self, at_ms: int) -> None:
        self.at_ms = at_ms
        self.parts: dict[int, bytes] = {}
        self.end: int | None = None
        self.held_bytes = 0

    def whole(self) -> bytes | None:
        if self.end is None:
            return None
        found = bytearray()
        for offset, part in sorted(self.parts.items()):
            if offset > len(found):
                return None
            found += part[len(found) - offset :]
        return bytes(found[: self.end]) if len(found) >= self.end else None


class _Fragments:
    """Fragments that wait for the rest of their datagram: bounded in age, number and bytes."""

    def __init__(self) -> None:
        self._pending: OrderedDict[tuple[bytes, bytes, int], _Pending] = OrderedDict()
        self._held_bytes = 0

    def add(self, packet: _Packet, time_ms: int) -> bytes | None:
        """Take a fragment; return the whole payload when this was the last one missing."""
        key = (packet.source, packet.destination, packet.identification)
        pending = self._pending.get(key)
        if pending is not None and time_ms - pending.at_ms > _FRAGMENT_AGE_MS:
            self._drop(key)
            pending = None
        if pending is None:
            pending = self._pending[key] = _Pending(time_ms)
        if packet.offset not in pending.parts and packet.offset + len(packet.payload) <= 65_535:
            pending.parts[packet.offset] = packet.payload
            pending.held_bytes += len(packet.payload)
            self._held_bytes += len(packet.payload)
        if not packet.more:
            pending.end = packet.offset + len(packet.payload)
        whole = pending.whole()
        if whole is not None:
            self._drop(key)
        while len(self._pending) > _FRAGMENTED_MAX or self._held_bytes > _FRAGMENTED_BYTES_MAX:
            self._drop(next(iter(self._pending)))
        return whole

    def _drop(self, key: tuple[bytes, bytes, int]) -> None:
        self._held_bytes -= self._pending.pop(key).held_bytes

"""A capture of invented network packets, and what a flow exporter must say of them."""

import ipaddress
import random
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ETHERNET = 1
TCP, UDP = 6, 17
STARTED_AT_S = 1_767_225_600  # 2026-01-01
SPREAD_S = 20.0


@dataclass(frozen=True, slots=True)
class Truth:
    """Unidirectional flows (5-tuples), their packets, and bytes of IP, headers included."""

    flows: int
    packets: int
    bytes: int


def write_capture(path: Path, *, conversations: int, seed: int, with_v6: bool) -> Truth:
    """Write TCP and UDP conversations to `path` as pcap, within `SPREAD_S` seconds."""
    rng = random.Random(seed)
    frames: list[tuple[float, bytes]] = []
    flows: set[tuple[bytes, bytes, int, int, int]] = set()
    total_bytes = 0
    for number in range(conversations):
        is_v6 = with_v6 and number % 4 == 0
        client, server = _hosts(rng, number, is_v6)
        protocol = TCP if number % 3 else UDP
        ports = (32768 + number % 28000, rng.choice([443, 80, 53, 22, 8080]))
        at_s = rng.uniform(0, SPREAD_S - 5)
        for is_answer, payload in _payloads(rng):
            source, destination = (server, client) if is_answer else (client, server)
            source_port, destination_port = ports[::-1] if is_answer else ports
            packet = _ip(
                source,
                destination,
                protocol,
                _transport(protocol, source_port, destination_port, payload),
            )
            ether_type = b"\x86\xdd" if is_v6 else b"\x08\x00"
            frames.append((at_s, b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02" + ether_type + packet))
            flows.add((source, destination, source_port, destination_port, protocol))
            total_bytes += len(packet)
            at_s += rng.uniform(0.0001, 0.05)
    frames.sort(key=lambda item: item[0])
    path.write_bytes(_pcap(frames))
    return Truth(len(flows), len(frames), total_bytes)


def _hosts(rng: random.Random, number: int, is_v6: bool) -> tuple[bytes, bytes]:
    if is_v6:
        prefix = ipaddress.ip_address("2001:db8::").packed[:8]
        client = prefix + struct.pack("!Q", 1 + number)
        return client, prefix + struct.pack("!Q", (1 << 32) + rng.randrange(200))
    client = (ipaddress.IPv4Address("10.0.0.1") + number).packed
    return client, (ipaddress.IPv4Address("198.51.100.0") + rng.randrange(200)).packed


def _payloads(rng: random.Random) -> Iterable[tuple[bool, int]]:
    """Yield (is an answer, bytes): questions and answers, some of them one-sided."""
    if rng.random() < 0.1:
        return [(False, rng.randrange(20, 400))]
    return [(step % 2 == 1, rng.randrange(0, 1400)) for step in range(2 * rng.randrange(1, 12))]


def _transport(protocol: int, source: int, destination: int, payload: int) -> bytes:
    if protocol == UDP:
        return struct.pack("!HHHH", source, destination, 8 + payload, 0) + bytes(payload)
    # PSH and ACK only: a FIN or RST would let the exporter end the flow early.
    return struct.pack("!HHIIBBHHH", source, destination, 1, 1, 0x50, 0x18, 8192, 0, 0) + bytes(
        payload
    )


def _ip(source: bytes, destination: bytes, protocol: int, payload: bytes) -> bytes:
    if len(source) == 16:
        header = struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64)
        return header + source + destination + payload
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0)
    return header + source + destination + payload


def _pcap(frames: Iterable[tuple[float, bytes]]) -> bytes:
    out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, ETHERNET)]
    for at_s, frame in frames:
        micros = int((STARTED_AT_S + at_s) * 1_000_000)
        head = (micros // 1_000_000, micros % 1_000_000, len(frame), len(frame))
        out.append(struct.pack("<IIII", *head) + frame)
    return b"".join(out)

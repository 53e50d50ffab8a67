"""Flows of an invented network, as numpy columns: pure, seeded, no clock.

A few hosts and servers carry most of the traffic (Zipf), applications have their ports, packet
sizes and hours, and answers come back through the interface the question left by.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FLOW = np.dtype(
    [
        ("src", "i4"),
        ("dst", "i4"),
        ("src_port", "u2"),
        ("dst_port", "u2"),
        ("protocol", "u1"),
        ("tcp_flags", "u1"),
        ("tos", "u1"),
        ("direction", "u1"),
        ("end_reason", "u1"),
        ("is_v6", "?"),
        ("in_if", "u2"),
        ("out_if", "u2"),
        ("src_as", "u2"),
        ("dst_as", "u2"),
        ("vlan", "u2"),
        ("packets", "u4"),
        ("bytes", "u4"),
        ("duration_ms", "u4"),
        ("age_ms", "u4"),
    ]
)
"""One flow: src and dst index `World.v4` and `World.v6`; age_ms: how long before the export the
last packet was seen. Counters stay below 2**32, so that NetFlow v5 can carry each."""

Flows = NDArray[np.void]

CLIENTS = 3000
SERVERS = 2000
CLIENT_AS = 64500
UPLINKS = (1, 2)
DURATION_MS_MAX = 120_000

TCP, UDP, ICMP, ESP = 6, 17, 1, 50


@dataclass(frozen=True, slots=True)
class Application:
    """One kind of traffic: weights by day and by night, its packets, sizes and DSCP."""

    port: int
    protocol: int
    day: float
    night: float
    packets: float
    question_bytes: int
    answer_bytes: int
    dscp: int = 0


APPLICATIONS = (
    Application(443, TCP, 38, 30, 14, 180, 1150),
    Application(443, UDP, 16, 24, 30, 120, 1180),
    Application(53, UDP, 14, 8, 1, 74, 190),
    Application(80, TCP, 6, 4, 10, 210, 980),
    Application(22, TCP, 2, 2, 40, 110, 240, 16),
    Application(25, TCP, 2, 1, 16, 620, 90),
    Application(993, TCP, 3, 1, 9, 100, 420),
    Application(445, TCP, 4, 1, 60, 900, 700, 10),
    Application(3389, TCP, 2, 0.3, 80, 120, 420, 26),
    Application(5061, TCP, 1, 0.2, 6, 420, 380, 24),
    Application(16384, UDP, 4, 0.5, 400, 214, 214, 46),
    Application(123, UDP, 2, 2, 1, 76, 76),
    Application(161, UDP, 2, 2, 3, 95, 130, 16),
    Application(0, ICMP, 2, 2, 3, 84, 84),
    Application(0, ESP, 1, 2, 200, 620, 780),
    Application(873, TCP, 0.3, 1, 2000, 1400, 80, 8),
    Application(1935, TCP, 1, 3, 900, 90, 1420, 32),
)


def busyness(hour: float) -> float:
    """Return how busy the network is at `hour`, a fraction of a day of 24: 0.3 to 1, most at 15."""
    return 0.65 + 0.35 * math.cos((hour - 15.0) / 24.0 * 2.0 * math.pi)


def _zipf(count: int, exponent: float) -> NDArray[np.float64]:
    weights = 1.0 / np.arange(1, count + 1, dtype=np.float64) ** exponent
    shares: NDArray[np.float64] = np.cumsum(weights) / weights.sum()
    return shares


@dataclass(frozen=True, slots=True)
class World:
    """Hosts that every exporter sees; clients come first, then servers.

    v4: uint32[hosts]; v6: uint8[hosts, 16]; autonomous_system: uint16[hosts].
    """

    v4: NDArray[np.uint32]
    v6: NDArray[np.uint8]
    autonomous_system: NDArray[np.uint16]
    client_shares: NDArray[np.float64]
    server_shares: NDArray[np.float64]


def make_world(seed: int) -> World:
    """Return the hosts of `seed`: the same seed gives the same network."""
    rng = np.random.default_rng([seed, 1])
    hosts = CLIENTS + SERVERS
    systems = rng.integers(1000, 60000, size=150, dtype=np.uint16)
    # Few systems own most servers, as large content networks do.
    owners = np.searchsorted(_zipf(systems.size, 1.0), rng.random(SERVERS))
    clients_v4 = (10 << 24) + rng.choice(1 << 20, CLIENTS, replace=False).astype(np.uint32)
    servers_v4 = (
        (np.uint32(23) + (owners % 150).astype(np.uint32)) << np.uint32(24)
    ) + rng.integers(256, 1 << 24, size=SERVERS, dtype=np.uint32)
    v6 = rng.integers(0, 256, size=(hosts, 16), dtype=np.uint8)
    # 2001:db8::/32 is the documentation prefix (RFC 3849).
    v6[:, :4] = (0x20, 0x01, 0x0D, 0xB8)
    return World(
        v4=np.concatenate([clients_v4, servers_v4]).astype(np.uint32),
        v6=v6,
        autonomous_system=np.concatenate(
            [np.full(CLIENTS, CLIENT_AS, np.uint16), systems[owners]]
        ).astype(np.uint16),
        client_shares=_zipf(CLIENTS, 0.9),
        server_shares=_zipf(SERVERS, 1.15),
    )


_PORTS = np.array([a.port for a in APPLICATIONS], np.uint16)
_PROTOCOLS = np.array([a.protocol for a in APPLICATIONS], np.uint8)
_PACKETS = np.array([a.packets for a in APPLICATIONS])
_SIZES = np.array([[a.question_bytes, a.answer_bytes] for a in APPLICATIONS], np.float64)
_TOS = np.array([a.dscp << 2 for a in APPLICATIONS], np.uint8)
_DAY = np.array([a.day for a in APPLICATIONS])
_NIGHT = np.array([a.night for a in APPLICATIONS])


def make_flows(
    world: World, rng: np.random.Generator, count: int, *, hour: float, interfaces: int, v6: float
) -> Flows:
    """Return `count` flows as an exporter with `interfaces` interfaces sees them at `hour`.

    The hour moves the mix of applications and the packets of a flow, never `count`.
    v6: share of flows over IPv6, 0 to 1.
    """
    flows = np.zeros(count, FLOW)
    busy = busyness(hour)
    mix = np.cumsum(_DAY * busy + _NIGHT * (1.0 - busy))
    application = np.searchsorted(mix / mix[-1], rng.random(count))
    application = np.minimum(application, len(APPLICATIONS) - 1)
    client = np.searchsorted(world.client_shares, rng.random(count)).clip(0, CLIENTS - 1)
    server = np.searchsorted(world.server_shares, rng.random(count)).clip(0, SERVERS - 1) + CLIENTS
    answers = rng.random(count) < 0.5
    flows["is_v6"] = rng.random(count) < v6

    flows["src"] = np.where(answers, server, client)
    flows["dst"] = np.where(answers, client, server)
    protocol = _PROTOCOLS[application]
    has_ports = (protocol == TCP) | (protocol == UDP)
    high = np.where(has_ports, rng.integers(32768, 60999, count), 0).astype(np.uint16)
    flows["src_port"] = np.where(answers, _PORTS[application], high)
    flows["dst_port"] = np.where(answers, high, _PORTS[application])
    # NetFlow keeps ICMP type * 256 + code in the destination port: echo is 8, its reply 0.
    flows["dst_port"][protocol == ICMP] = 2048
    flows["dst_port"][(protocol == ICMP) & answers] = 0
    flows["protocol"] = protocol
    flows["tcp_flags"] = np.where(protocol == TCP, rng.choice([0x1B, 0x1A, 0x02, 0x14], count), 0)
    flows["tos"] = _TOS[application]

    access = (client % max(interfaces - len(UPLINKS), 1) + len(UPLINKS) + 1).astype(np.uint16)
    uplink = np.where(server % 4 == 0, UPLINKS[1], UPLINKS[0]).astype(np.uint16)
    flows["in_if"] = np.where(answers, uplink, access)
    flows["out_if"] = np.where(answers, access, uplink)
    flows["src_as"] = world.autonomous_system[flows["src"]]
    flows["dst_as"] = world.autonomous_system[flows["dst"]]
    flows["vlan"] = 100 + access
    flows["end_reason"] = rng.choice([1, 2, 3], count)

    # Log-normal with sigma 1.2: the mean flow is small, a few carry most of the bytes.
    packets = _PACKETS[application] * busy * rng.lognormal(-0.2, 1.2, count)
    flows["packets"] = np.clip(packets, 1, 2_000_000).astype(np.uint32)
    sizes = _SIZES[application, answers.astype(np.intp)] * rng.uniform(0.7, 1.3, count)
    sizes = np.clip(sizes, 40, 1500)
    flows["bytes"] = (flows["packets"] * sizes).astype(np.uint32)
    duration = np.minimum(flows["packets"] * rng.uniform(5, 60, count), DURATION_MS_MAX)
    flows["duration_ms"] = np.where(flows["packets"] > 1, duration, 0).astype(np.uint32)
    flows["age_ms"] = rng.integers(0, 15_000, count)
    return flows

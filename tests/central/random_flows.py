"""Random flow records close to the edges of minutes, hours and days, and sums over them in Python.

The rows are few and the parts many: an engine that chooses parts by their first and last value is
wrong at their edges first.
"""

import ipaddress
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields

import pyarrow as pa

from services.central.store import FlowStore
from services.central.store.rows import encode_stream
from shared.addresses import pack_address
from shared.flow_record import BY_NAME
from tests.central.flow_values import DAY_MS, HOUR_MS, MINUTE_MS

MIDNIGHT = 1_700_006_400_000
"""The start of a day, ms."""
EDGES_MS = (-1000, -999, -500, -2, -1, 0, 1, 2, 500, 999, 1000, 1001)
STREAMS = (1, 2**63, 2**64 - 1)
ADDRESSES = [
    pack_address(text)
    for text in (
        "9.255.255.255", "10.0.0.0", "10.0.0.255", "10.0.1.0", "10.255.255.255", "11.0.0.0",
        "0.0.0.0", "255.255.255.255", "::", "::1", "::fffe:ffff:ffff", "::1:0:0:0",
        "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::", "2001:db8:0:1::",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    )
]  # fmt: skip
NETWORKS = (
    "10.0.0.0/24", "10.0.0.0/8", "0.0.0.0/0", "10.0.0.255", "255.255.255.255", "::/0", "::/1",
    "2001:db8::/32", "2001:db8::/64", "::ffff:0:0/96", "::ffff:10.0.0.0/104", "8000::/1", "::",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Flow:
    """One flow record; the fields have the names of its columns."""

    received_at: int
    stream: int
    datagram: int
    collector: str
    exporter: bytes
    export_version: int
    src_addr: bytes
    dst_addr: bytes
    src_port: int
    dst_port: int
    protocol: int
    tos: int
    in_if: int
    out_if: int
    src_as: int
    dst_as: int
    bytes: int
    packets: int
    sampling_rate: int

    @property
    def minute_ms(self) -> int:
        return self.received_at // MINUTE_MS * MINUTE_MS

    @property
    def application_port(self) -> int:
        ports = [port for port in (self.src_port, self.dst_port) if port]
        return min(ports, default=0) if self.protocol in (6, 17, 33, 132, 136) else 0

    @property
    def dscp(self) -> int:
        return self.tos >> 2


def random_messages(rng: random.Random, *, each: int) -> list[list[Flow]]:
    """Return messages of all streams, mixed; those of one stream are in order of time.

    each: messages of one stream.
    """
    queues = [_stream(rng, stream, each) for stream in STREAMS]
    mixed = []
    while any(queues):
        mixed.append(rng.choice([queue for queue in queues if queue]).pop(0))
    return mixed


def insert_message(store: FlowStore, flows: Sequence[Flow]) -> None:
    columns = {
        field.name: pa.array(
            [getattr(flow, field.name) for flow in flows], BY_NAME[field.name].arrow
        )
        for field in fields(Flow)
    }
    value = encode_stream(pa.record_batch(columns))
    first, last = flows[0], flows[-1]
    token = f"{first.stream}:{first.datagram}-{last.datagram}"
    store.insert_flows(value, columns=list(columns), token=token)


def sums(flows: Iterable[Flow]) -> dict[str, int]:
    """Return what a report says of `flows`."""
    flows = list(flows)
    rates = [max(flow.sampling_rate, 1) for flow in flows]
    return {
        "flows": len(flows),
        "bytes": sum(flow.bytes for flow in flows),
        "packets": sum(flow.packets for flow in flows),
        "bytes_scaled": sum(f.bytes * rate for f, rate in zip(flows, rates, strict=True)),
        "packets_scaled": sum(f.packets * rate for f, rate in zip(flows, rates, strict=True)),
    }


def in_network(address: bytes, text: str) -> bool:
    network = ipaddress.ip_network(text, strict=False)
    if network.version == 4:
        is_v4 = address[:12] == b"\0" * 10 + b"\xff\xff"
        return is_v4 and ipaddress.IPv4Address(address[12:]) in network
    return ipaddress.IPv6Address(address) in network


def random_filters(
    rng: random.Random,
) -> tuple[dict[str, list[str]], Callable[[Flow], bool]]:
    """Return filters as typed, and the same as a test of a row."""
    filters: dict[str, list[str]] = {}
    tests: list[Callable[[Flow], bool]] = []
    for name in rng.sample(
        ["exporter", "src_addr", "dst_addr", "host", "in_if", "interface", "protocol", "dscp",
         "application", "application_port", "src_as", "as", "collector", "port"],
        rng.choice([0, 0, 1, 1, 2]),
    ):  # fmt: skip
        count = rng.randint(1, 3)
        if name in ("exporter", "src_addr", "dst_addr", "host"):
            values = rng.choices(NETWORKS, k=count)
            columns = ("src_addr", "dst_addr") if name == "host" else (name,)

            def passes(flow: Flow, columns: Sequence[str] = columns, v: list[str] = values) -> bool:
                return any(in_network(getattr(flow, c), text) for c in columns for text in v)
        elif name == "application":
            values = [f"{rng.choice([1, 6, 17])}/{rng.choice([0, 53, 443])}" for _ in range(count)]

            def passes(flow: Flow, columns: Sequence[str] = (), v: list[str] = values) -> bool:
                return f"{flow.protocol}/{flow.application_port}" in v
        elif name == "collector":
            values = rng.choices(["c/1", f"c/{2**63}", "c/ü\\'", "none"], k=count)

            def passes(flow: Flow, columns: Sequence[str] = (), v: list[str] = values) -> bool:
                return flow.collector in v
        else:
            values = [str(rng.choice([0, 1, 2, 6, 17, 46, 53, 64500, 2**32 - 1][: _some(name)]))
                      for _ in range(count)]  # fmt: skip
            columns = {
                "interface": ("in_if", "out_if"),
                "as": ("src_as", "dst_as"),
                "port": ("src_port", "dst_port"),
            }.get(name, (name,))

            def passes(flow: Flow, columns: Sequence[str] = columns, v: list[str] = values) -> bool:
                return any(str(getattr(flow, column)) in v for column in columns)

        filters[name] = values
        tests.append(passes)
    return filters, lambda flow: all(test(flow) for test in tests)


def edge(rng: random.Random) -> int:
    """Return an instant close to the edge of a minute, an hour or the day."""
    unit_ms = rng.choice([MINUTE_MS, MINUTE_MS, HOUR_MS, DAY_MS])
    units = {MINUTE_MS: 125, HOUR_MS: 2, DAY_MS: 0}[unit_ms]
    return MIDNIGHT + rng.randint(-units, units) * unit_ms + rng.choice(EDGES_MS)


def _some(name: str) -> int:
    return {"protocol": 7, "application_port": 8, "port": 8, "dscp": 6}.get(name, 9)


def _stream(rng: random.Random, stream: int, each: int) -> list[list[Flow]]:
    messages: list[list[Flow]] = []
    number = 0
    for at_ms in sorted(edge(rng) for _ in range(each)):
        flows = []
        for _ in range(rng.randint(1, 2)):
            number += 1
            # Only later instants of the same minute: time never falls, a message is of one minute.
            end_ms = at_ms // MINUTE_MS * MINUTE_MS + MINUTE_MS - 1
            at_ms = min(at_ms + rng.choice([0, 0, 1, 998, 999]), end_ms)
            flows += [_flow(rng, stream, number, at_ms) for _ in range(rng.randint(1, 4))]
        messages.append(flows)
    ordered = [flow.received_at for flows in messages for flow in flows]
    # A message may have ended after the next began.
    return messages if ordered == sorted(ordered) else _stream(rng, stream, each)


def _flow(rng: random.Random, stream: int, number: int, at_ms: int) -> Flow:
    return Flow(
        received_at=at_ms,
        stream=stream,
        datagram=number,
        collector={1: "c/1", 2**63: f"c/{2**63}"}.get(stream, "c/ü\\'"),
        exporter=rng.choice(ADDRESSES[:4]),
        export_version=9,
        src_addr=rng.choice(ADDRESSES),
        dst_addr=rng.choice(ADDRESSES),
        src_port=rng.choice([0, 53, 1024, 65535]),
        dst_port=rng.choice([0, 53, 443, 65535]),
        protocol=rng.choice([0, 1, 6, 17]),
        tos=rng.choice([0, 3, 184, 255]),
        in_if=rng.choice([0, 1, 2, 2**32 - 1]),
        out_if=rng.choice([0, 1, 2, 2**32 - 1]),
        src_as=rng.choice([0, 64500, 2**32 - 1]),
        dst_as=rng.choice([0, 64500, 2**32 - 1]),
        bytes=rng.choice([0, 1, 1500, 2**33]),
        packets=rng.choice([0, 1, 7]),
        sampling_rate=rng.choice([0, 1, 1000, 2**20]),
    )

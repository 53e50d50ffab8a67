"""What a report may ask by and filter on: closed tables from names to columns.

What a user types picks an entry here or becomes a bound parameter; it never becomes SQL text.
"""

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.central.store.rollups import DIMENSIONS

VALUES_MAX: Final = 100
"""Values of one filter: a longer list is a mistake, and each costs time on every row."""

PROTOCOLS: Final[Mapping[str, int]] = {
    "icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "udp": 17, "dccp": 33, "ipv6": 41, "rsvp": 46,
    "gre": 47, "esp": 50, "ah": 51, "icmp6": 58, "eigrp": 88, "ospf": 89, "pim": 103, "vrrp": 112,
    "l2tp": 115, "sctp": 132,
}  # fmt: skip

RAW_COLUMNS: Final[Mapping[str, str]] = {
    **DIMENSIONS,
    "collector": "collector",
    "observation_domain": "observation_domain",
    "export_version": "export_version",
    "src_port": "src_port",
    "dst_port": "dst_port",
    "tcp_flags": "tcp_flags",
    "next_hop": "next_hop",
    "src_vlan": "src_vlan",
    "dst_vlan": "dst_vlan",
    "direction": "direction",
    "sampling_rate": "sampling_rate",
    "application_id": "application",
    "vrf": "vrf",
}
"""Column of a report -> its SQL over raw rows. Those of DIMENSIONS stand in roll-ups too."""

BY: Final[Mapping[str, tuple[str, ...]]] = {
    "exporter": ("exporter",),
    "in_if": ("exporter", "in_if"),
    "out_if": ("exporter", "out_if"),
    "application": ("protocol", "application_port"),
    "protocol": ("protocol",),
    "src_addr": ("src_addr",),
    "dst_addr": ("dst_addr",),
    "src_as": ("src_as",),
    "dst_as": ("dst_as",),
    "as_pair": ("src_as", "dst_as"),
    "dscp": ("dscp",),
    "collector": ("collector",),
    "conversation": ("src_addr", "dst_addr"),
    "flow": ("src_addr", "dst_addr", "src_port", "dst_port", "protocol"),
    "src_port": ("protocol", "src_port"),
    "dst_port": ("protocol", "dst_port"),
    "tcp_flags": ("tcp_flags",),
    "observation_domain": ("exporter", "observation_domain"),
    "export_version": ("exporter", "export_version"),
    "next_hop": ("next_hop",),
    "src_vlan": ("src_vlan",),
    "dst_vlan": ("dst_vlan",),
    "direction": ("direction",),
    "sampling_rate": ("exporter", "sampling_rate"),
}
"""What a report may group by -> its columns. An ifIndex means something with its exporter only."""

Parameters = dict[str, object]


class ReportError(ValueError):
    """A question that makes no sense; `parameter` is the one to change."""

    def __init__(self, parameter: str, problem: str) -> None:
        """Say the `problem` with `parameter`."""
        self.parameter = parameter
        self.problem = problem
        super().__init__(f"{parameter}: {problem}")


@dataclass(frozen=True, slots=True)
class Condition:
    """A filter ready for any source: `sql(columns)` gives its text for that source's columns."""

    columns: frozenset[str]
    sql: Callable[[Mapping[str, str]], str]
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class _Filter:
    """columns: any of them may match. largest: of a number; None means addresses or text."""

    columns: tuple[str, ...]
    kind: str
    largest: int = 0


FILTERS: Final[Mapping[str, _Filter]] = {
    "exporter": _Filter(("exporter",), "address"),
    "collector": _Filter(("collector",), "text"),
    "in_if": _Filter(("in_if",), "number", 2**32 - 1),
    "out_if": _Filter(("out_if",), "number", 2**32 - 1),
    "interface": _Filter(("in_if", "out_if"), "number", 2**32 - 1),
    "src_addr": _Filter(("src_addr",), "address"),
    "dst_addr": _Filter(("dst_addr",), "address"),
    "host": _Filter(("src_addr", "dst_addr"), "address"),
    "next_hop": _Filter(("next_hop",), "address"),
    "src_port": _Filter(("src_port",), "number", 2**16 - 1),
    "dst_port": _Filter(("dst_port",), "number", 2**16 - 1),
    "port": _Filter(("src_port", "dst_port"), "number", 2**16 - 1),
    "protocol": _Filter(("protocol",), "protocol", 2**8 - 1),
    "application": _Filter(("protocol", "application_port"), "application", 2**16 - 1),
    "application_port": _Filter(("application_port",), "number", 2**16 - 1),
    "application_id": _Filter(("application_id",), "number", 2**64 - 1),
    "src_as": _Filter(("src_as",), "number", 2**32 - 1),
    "dst_as": _Filter(("dst_as",), "number", 2**32 - 1),
    "as": _Filter(("src_as", "dst_as"), "number", 2**32 - 1),
    "dscp": _Filter(("dscp",), "number", 63),
    "tcp_flags": _Filter(("tcp_flags",), "bits", 2**16 - 1),
    "observation_domain": _Filter(("observation_domain",), "number", 2**32 - 1),
    "export_version": _Filter(("export_version",), "number", 2**8 - 1),
    "src_vlan": _Filter(("src_vlan",), "number", 2**12 - 1),
    "dst_vlan": _Filter(("dst_vlan",), "number", 2**12 - 1),
    "direction": _Filter(("direction",), "number", 2**8 - 1),
    "vrf": _Filter(("vrf",), "number", 2**32 - 1),
}
"""What a report may filter on. Several values of one filter: any; several filters: all."""


def condition(name: str, values: Sequence[str]) -> Condition:
    """Return the condition of filter `name` with any of `values`, as typed; raises ReportError."""
    if name not in FILTERS:
        raise ReportError(name, f"is no filter; there are {', '.join(sorted(FILTERS))}")
    if not values or len(values) > VALUES_MAX:
        raise ReportError(name, f"takes 1 to {VALUES_MAX} values, got {len(values)}")
    chosen = FILTERS[name]
    match chosen.kind:
        case "address":
            return _addresses(name, chosen, values)
        case "application":
            return _applications(name, values)
        case "text":
            return _one_of(name, chosen, "String", list(values))
        case "bits":
            return _bits(name, chosen, [_number(name, each, chosen.largest) for each in values])
        case "protocol":
            return _one_of(name, chosen, "UInt64", [_protocol(name, each) for each in values])
        case _:
            numbers = [_number(name, each, chosen.largest) for each in values]
            return _one_of(name, chosen, "UInt64", numbers)


def _one_of(name: str, chosen: _Filter, kind: str, values: Sequence[object]) -> Condition:
    parameter = f"f_{name}"

    def sql(columns: Mapping[str, str]) -> str:
        tests = [f"has({{{parameter}:Array({kind})}}, {columns[c]})" for c in chosen.columns]
        return _any(tests)

    return Condition(frozenset(chosen.columns), sql, {parameter: list(values)})


def _bits(name: str, chosen: _Filter, values: Sequence[int]) -> Condition:
    parameters: Parameters = {f"f_{name}_{at}": value for at, value in enumerate(values)}

    def sql(columns: Mapping[str, str]) -> str:
        column = columns[chosen.columns[0]]
        return _any([f"bitAnd({column}, {{{p}:UInt16}}) = {{{p}:UInt16}}" for p in parameters])

    return Condition(frozenset(chosen.columns), sql, parameters)


def _addresses(name: str, chosen: _Filter, values: Sequence[str]) -> Condition:
    parameters: Parameters = {}
    for at, value in enumerate(values):
        first, last = _address_range(name, value)
        parameters |= {f"f_{name}_{at}_first": first, f"f_{name}_{at}_last": last}

    def sql(columns: Mapping[str, str]) -> str:
        return _any(
            [
                f"({columns[column]} >= {{f_{name}_{at}_first:IPv6}} "
                f"AND {columns[column]} <= {{f_{name}_{at}_last:IPv6}})"
                for column in chosen.columns
                for at in range(len(values))
            ]
        )

    return Condition(frozenset(chosen.columns), sql, parameters)


def _applications(name: str, values: Sequence[str]) -> Condition:
    parameters: Parameters = {}
    for at, value in enumerate(values):
        protocol, _, port = value.partition("/")
        parameters[f"f_{name}_{at}_protocol"] = _protocol(name, protocol)
        parameters[f"f_{name}_{at}_port"] = _number(name, port or "0", 2**16 - 1)

    def sql(columns: Mapping[str, str]) -> str:
        return _any(
            [
                f"({columns['protocol']} = {{f_{name}_{at}_protocol:UInt8}} "
                f"AND {columns['application_port']} = {{f_{name}_{at}_port:UInt16}})"
                for at in range(len(values))
            ]
        )

    return Condition(frozenset({"protocol", "application_port"}), sql, parameters)


def _any(tests: Sequence[str]) -> str:
    return f"({' OR '.join(tests)})"


def _number(name: str, text: str, largest: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and int(text) <= largest):
        raise ReportError(name, f"{text[:40]!r} is no number from 0 to {largest}")
    return int(text)


def _protocol(name: str, text: str) -> int:
    known = PROTOCOLS.get(text.lower())
    return _number(name, text, 255) if known is None else known


def _address_range(name: str, text: str) -> tuple[str, str]:
    """Return the first and last address of an address or CIDR network, as IPv6 text."""
    try:
        # An address with a zone (`fe80::1%eth0`) means something on one machine only.
        network = ipaddress.ip_network(text if "%" not in text else "", strict=False)
    except ValueError as error:
        raise ReportError(name, f"{text[:60]!r} is no address and no network") from error
    prefix = "::ffff:" if network.version == 4 else ""
    return f"{prefix}{network.network_address}", f"{prefix}{network.broadcast_address}"

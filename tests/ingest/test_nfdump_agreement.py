"""Every scenario against nfdump; each disagreement is listed in docs/protocols.md, by kind.

A kind is a correction that makes both sides equal. Listed kinds must be needed, and suffice.
"""

from collections import Counter
from typing import Any

import pytest

from services.ingest.decode.decoding import Limits
from shared.addresses import format_address
from tests.ingest.scenarios import (
    CAPTURES,
    REPOSITORY,
    answer,
    decode,
    needs_captures,
    rows,
    scenario_names,
)

Row = dict[str, Any]
KINDS = (
    "late template",
    "several messages",
    "second direction",
    "scaled counters",
    "ICMP in the port",
    "no protocol",
    "both families",
    "version 1",
)


def documented() -> dict[str, set[str]]:
    """Scenario -> kinds, from the table in docs/protocols.md."""
    text = (REPOSITORY / "docs" / "protocols.md").read_text()
    table = text.split("## Where nfdump says something else")[1].split("\n## ")[0]
    found: dict[str, set[str]] = {}
    for line in table.splitlines():
        cells = [cell.strip(" `") for cell in line.strip("|").split("|")]
        if len(cells) == 3 and cells[1] in KINDS:
            found.setdefault(cells[0], set()).add(cells[1])
    return found


def ours(name: str, kinds: set[str]) -> list[Row]:
    limits = Limits(waiting_ms=-1) if "late template" in kinds else None
    decoded = decode(name, limits=limits, first_message="several messages" in kinds)
    return [_ours(row, kinds) for row in rows(decoded)]


def _ours(row: Row, kinds: set[str]) -> Row:
    scale = max(row.get("sampling_rate", 0), 1) if "scaled counters" in kinds else 1
    icmp = (row.get("icmp_type", 0), row.get("icmp_code", 0))
    is_icmp = icmp != (0, 0) or row.get("protocol") in (1, 58)
    port = row.get("dst_port", 0)
    if "ICMP in the port" in kinds and port and port == icmp[0] * 256 + icmp[1]:
        icmp = (0, 0)
    return {
        "src": format_address(row.get("src_addr", bytes(16))),
        "dst": format_address(row.get("dst_addr", bytes(16))),
        "ports": ("ICMP", *icmp) if is_icmp else (row.get("src_port", 0), port),
        "protocol": row.get("protocol", 0),
        "bytes": row.get("bytes", 0) * scale,
        "packets": row.get("packets", 0) * scale,
        "flags": row.get("tcp_flags", 0),
        "interfaces": (row.get("in_if", 0), row.get("out_if", 0)),
    }


def theirs(name: str, kinds: set[str]) -> list[Row]:
    flows = answer("nfdump", name)["netflow_flows"]
    found = [_theirs(flow) for flow in flows]
    if "no protocol" in kinds:
        for row in found:
            if row["protocol"] == 0 and row["ports"] != (0, 0):
                row["ports"] = ("ICMP", row["ports"][1] >> 8, row["ports"][1] & 255)
    if "second direction" in kinds:
        for flow, row in list(zip(flows, found, strict=True)):
            if flow.get("out_bytes") or flow.get("out_packets"):
                found.append(_swapped(flow, row))
    return [] if "version 1" in kinds else found


def _theirs(flow: Row) -> Row:
    ports: tuple[Any, ...] = (flow.get("src_port", 0), flow.get("dst_port", 0))
    if "icmp_type" in flow:
        ports = ("ICMP", flow["icmp_type"], flow["icmp_code"])
    return {
        "src": flow.get("src4_addr") or flow.get("src6_addr", "::"),
        "dst": flow.get("dst4_addr") or flow.get("dst6_addr", "::"),
        "ports": ports,
        "protocol": flow.get("proto", 0),
        "bytes": flow.get("in_bytes", 0),
        "packets": flow.get("in_packets", 0),
        "flags": _flags(flow.get("tcp_flags", "")),
        "interfaces": (flow.get("input_snmp", 0), flow.get("output_snmp", 0)),
    }


def _flags(text: str) -> int:
    return sum(1 << (7 - place) for place, letter in enumerate(text) if letter != ".")


def _swapped(flow: Row, row: Row) -> Row:
    return {
        **row,
        "src": row["dst"],
        "dst": row["src"],
        "ports": row["ports"][::-1],
        "bytes": flow.get("out_bytes", 0),
        "packets": flow.get("out_packets", 0),
        "flags": 0,
        "interfaces": row["interfaces"][::-1],
    }


def differences(name: str, kinds: set[str]) -> tuple[list[str], list[str]]:
    mine, other = ours(name, kinds), theirs(name, kinds)
    without = {"src", "dst", "ports"} if "both families" in kinds else set()
    if "second direction" in kinds:
        # nfdump has no flags of the second direction.
        without |= {"flags"}
    one, two = (
        Counter(repr([v for k, v in row.items() if k not in without]) for row in rows)
        for rows in (mine, other)
    )
    return list((one - two).elements()), list((two - one).elements())


NAMES = [
    name
    for name in (scenario_names("nfdump") if CAPTURES.is_dir() else [])
    if answer("nfdump", name).get("netflow_flows")
]


@needs_captures
@pytest.mark.parametrize("name", NAMES)
def test_all_flows_agree_but_for_what_is_documented(name: str) -> None:
    kinds = documented().get(name, set())
    assert differences(name, kinds) == ([], [])
    for kind in kinds:
        # A listed kind that is not needed is a stale line.
        assert differences(name, kinds - {kind}) != ([], []), kind


# What docs/protocols.md says below the table: a Last that lies days ahead of sysUptime.
OTHER_TIMES = {"logstash__netflow_9_fortigate_fortios_5_2_1"}


@needs_captures
@pytest.mark.parametrize("name", [name for name in NAMES if name not in documented()])
def test_times_agree_to_the_second_wherever_nfdump_has_one(name: str) -> None:
    mine: Counter[str] = Counter()
    for row in rows(decode(name)):
        for column in ("started_at", "ended_at"):
            mine[f"{row[column]:%Y-%m-%dT%H:%M:%S}" if row.get(column) else "1970"] += 1
    other = Counter(
        flow[key][:19]
        for flow in answer("nfdump", name)["netflow_flows"]
        for key in ("first", "last")
    )
    missing = {moment for moment in (other - mine) if not moment.startswith("1970")}
    assert (missing == set()) == (name not in OTHER_TIMES)


@needs_captures
def test_the_table_names_only_scenarios_that_exist() -> None:
    assert documented().keys() <= set(NAMES)
    assert len(NAMES) > 40

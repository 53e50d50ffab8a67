"""Makes a store with the roll-ups of a large network: `python -m bench.rollups FOLDER ...`.

The rows are written into the table as the closing of minutes and hours would have, without flows
below them: 20,000 interfaces on 400 exporters. Every interface is busy in each hour, every fourth
one in a given minute. Hosts and applications stand in every hour, and in the minutes at both ends
of the range, where a report that does not begin at a full hour needs them.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.central.store.flow_store import FlowStore
from services.central.store.purposes import WorkClient
from services.central.store.rollups import GROUPING_SETS, Level

EXPORTERS = 400
INTERFACES = 20_000
STREAM = 1
_INSERT = {"min_insert_block_size_rows": 4_000_000, "max_insert_threads": 1}


@dataclass(frozen=True, slots=True)
class Density:
    """Rows of one grouping set in each period. exporter, key: SQL over `row`, from 0."""

    minute: int
    hour: int
    columns: dict[str, str]


_EXPORTER = "toIPv6(IPv4NumToString(toUInt32(167837696 + {})))"  # from 10.1.0.0 on
_HOST = "toIPv6(IPv4NumToString(toUInt32(167772160 + cityHash64(intDiv(row, 400)) % 60000)))"
_BY_ROW = _EXPORTER.format("row % 400")
_OF_INTERFACE = _EXPORTER.format("intDiv(place, 50)")
# In a minute every fourth interface, another quarter each time.
_APPLICATION = "arrayElement([443, 53, 80, 22, 445, 123, 5061, 25], 1 + intDiv(row, busy) % 8)"

DENSITIES: dict[str, Density] = {
    "marker": Density(1, 1, {}),
    "exporter": Density(EXPORTERS, EXPORTERS, {"exporter": _BY_ROW}),
    "in_if": Density(5_000, INTERFACES, {"exporter": _OF_INTERFACE, "in_if": "1 + place % 50"}),
    "out_if": Density(5_000, INTERFACES, {"exporter": _OF_INTERFACE, "out_if": "1 + place % 50"}),
    "dscp": Density(2_400, 2_400, {"exporter": _BY_ROW, "dscp": "intDiv(row, 400) * 8"}),
    "as_pair": Density(
        8_000, 20_000,
        {"exporter": _BY_ROW, "src_as": "64500", "dst_as": "1000 + intDiv(row, 400)"},
    ),
    "application_in": Density(
        10_000, 4 * INTERFACES,
        {"exporter": _OF_INTERFACE, "in_if": "1 + place % 50", "protocol": "6",
         "application_port": _APPLICATION},
    ),
    "application_out": Density(
        10_000, 4 * INTERFACES,
        {"exporter": _OF_INTERFACE, "out_if": "1 + place % 50", "protocol": "6",
         "application_port": _APPLICATION},
    ),
    "src_addr": Density(10_000, 100_000, {"exporter": _BY_ROW, "src_addr": _HOST}),
    "dst_addr": Density(10_000, 100_000, {"exporter": _BY_ROW, "dst_addr": _HOST}),
}  # fmt: skip
_EVERY_MINUTE = ("marker", "exporter", "in_if", "out_if")
_EDGE_MINUTES = 60


def statements(until_s: int, hours: int) -> Iterator[str]:
    """Yield the inserts for `hours` hours before `until_s`, the start of a minute."""
    from_s = until_s - hours * 3600
    first_hour, last_hour = from_s // 3600 * 3600, until_s // 3600 * 3600
    for each in GROUPING_SETS:
        yield _insert(each.code, each.name, Level.HOUR, first_hour, last_hour)
        if each.name in _EVERY_MINUTE:
            yield _insert(each.code, each.name, Level.MINUTE, from_s, until_s)
        else:
            edge_s = _EDGE_MINUTES * 60
            yield _insert(each.code, each.name, Level.MINUTE, from_s, from_s + edge_s)
            yield _insert(each.code, each.name, Level.MINUTE, until_s - edge_s, until_s)


def _insert(code: int, name: str, level: Level, from_s: int, until_s: int) -> str:
    density = DENSITIES[name]
    rows = density.minute if level is Level.MINUTE else density.hour
    busy = min(rows, INTERFACES if level is Level.HOUR else INTERFACES // 4)
    periods = (until_s - from_s) // level.seconds
    spread = INTERFACES // busy if busy else 1
    columns = {
        "level": str(int(level)),
        "grouping": str(code),
        "starts_at": f"toDateTime({from_s} + period * {level.seconds}, 'UTC')",
        "stream": str(STREAM),
        "collector": "'bench/0'",
        **density.columns,
        "flows": "1 + intDiv(cityHash64(number), 1000000007) % 200",
        "bytes": "flows * (100 + cityHash64(number) % 90000)",
        "packets": "1 + intDiv(bytes, 700)",
        "bytes_scaled": "bytes",
        "packets_scaled": "packets",
    }
    return (
        f"INSERT INTO rollups ({', '.join(columns)}) "
        f"WITH {busy} AS busy, intDiv(number, {rows}) AS period, number % {rows} AS row, "
        f"(row % busy) * {spread} + period % {spread} AS place "
        f"SELECT {', '.join(f'{sql} AS {column}' for column, sql in columns.items())} "
        f"FROM numbers({periods * rows})"
    )


def main() -> None:
    """Make the tables in a new folder and fill them."""
    parser = argparse.ArgumentParser(prog="python -m bench.rollups")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--until", type=int, required=True, help="end of the range, s since 1970")
    parser.add_argument("--hours", type=int, required=True)
    options = parser.parse_args()
    store = FlowStore.open(str(options.folder))
    store.migrate()
    store.close()
    client = WorkClient(str(options.folder))
    client.open()
    try:
        for statement in statements(options.until, options.hours):
            client.command(statement, settings=_INSERT)
    finally:
        client.close()


if __name__ == "__main__":
    main()

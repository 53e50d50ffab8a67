"""The roll-ups: which sums are kept of each minute and hour, and how a column of them is made.

All sums stand in one table, so that a minute is closed by one insert of one part. A grouping set
is named by its code; `level` is 0 for minutes and 1 for hours.
"""

from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """How long the periods of a roll-up row are. Codes are stored."""

    MINUTE = 0
    HOUR = 1

    @property
    def seconds(self) -> int:
        """Length of a period."""
        return 60 if self is Level.MINUTE else 3600


APPLICATION_PORT = (
    "if(protocol IN (6, 17, 33, 132, 136), "
    "multiIf(src_port = 0, dst_port, dst_port = 0, src_port, least(src_port, dst_port)), 0)"
)
"""The port that names the application of a flow: the lower of its two ports.

A service listens below the ports its clients are given, so the lower one is the service's; 0 where
the protocol has no ports (ICMP carries type and code there) or none was said (fragments).
"""

DIMENSIONS: dict[str, str] = {
    "exporter": "exporter",
    "in_if": "in_if",
    "out_if": "out_if",
    "protocol": "protocol",
    "application_port": APPLICATION_PORT,
    "src_addr": "src_addr",
    "dst_addr": "dst_addr",
    "src_as": "src_as",
    "dst_as": "dst_as",
    "dscp": "bitShiftRight(tos, 2)",
}
"""Column of the roll-ups -> its SQL over raw rows. `stream` and `collector` are in every set."""

SUMS: dict[str, str] = {
    "flows": "count()",
    "bytes": "sum(bytes)",
    "packets": "sum(packets)",
    "bytes_scaled": "sum(bytes * greatest(sampling_rate, 1))",
    "packets_scaled": "sum(packets * greatest(sampling_rate, 1))",
}
"""Column of the roll-ups -> its SQL over raw rows. A rate of 0 means unknown and scales by 1."""


@dataclass(frozen=True, slots=True)
class GroupingSet:
    """One way to sum up a period, beside stream and collector.

    code: stored, never changed or reused.
    digest: its rows carry the digest of the raw rows they sum up.
    """

    code: int
    name: str
    dimensions: tuple[str, ...]
    digest: bool = False


MARKER = GroupingSet(0, "marker", (), digest=True)
"""Its one row says that (stream, period) is closed."""

GROUPING_SETS: tuple[GroupingSet, ...] = (
    MARKER,
    GroupingSet(1, "exporter", ("exporter",), digest=True),
    GroupingSet(2, "in_if", ("exporter", "in_if")),
    GroupingSet(3, "out_if", ("exporter", "out_if")),
    GroupingSet(4, "dscp", ("exporter", "dscp")),
    GroupingSet(5, "as_pair", ("exporter", "src_as", "dst_as")),
    GroupingSet(6, "application_in", ("exporter", "in_if", "protocol", "application_port")),
    GroupingSet(7, "application_out", ("exporter", "out_if", "protocol", "application_port")),
    GroupingSet(8, "src_addr", ("exporter", "src_addr")),
    GroupingSet(9, "dst_addr", ("exporter", "dst_addr")),
)
"""Cheapest first: a report takes the first set that has all it asks for."""


def covering_set(dimensions: frozenset[str]) -> GroupingSet | None:
    """Return the cheapest set that has all `dimensions`, or None: only raw rows can answer."""
    for grouping_set in GROUPING_SETS:
        if dimensions <= set(grouping_set.dimensions):
            return grouping_set
    return None

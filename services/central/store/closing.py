"""The statements that close a minute of a stream, and an hour over its minutes.

Each is one `INSERT ... SELECT`: all grouping sets in one block and one part, so that a kill leaves
all roll-ups of the period or none. The order of the block is fixed by `ORDER BY ALL`, because with
another order (a merge of the source is enough) the same token would not match the same block.
"""

from collections.abc import Mapping
from typing import Any, Final

from services.central.store import digests
from services.central.store.rollups import DIMENSIONS, GROUPING_SETS, SUMS, GroupingSet, Level

ONE_BLOCK: Final[Mapping[str, Any]] = {
    "max_block_size": 100_000_000,
    "min_insert_block_size_rows": 1_000_000_000,
    "min_insert_block_size_bytes": 1_000_000_000_000,
    "max_insert_threads": 1,
    "deduplicate_insert_select": "force_enable",
}
"""All needed: with the defaults a repeated closing is cut into other blocks and counted twice."""

_START = "toDateTime({starts_at:UInt32}, 'UTC')"
_COLUMNS = (
    "level", "grouping", "starts_at", "stream", "collector", *DIMENSIONS, *SUMS,
    "digest", "digest_version",
)  # fmt: skip

# `received_at` has milliseconds and is compared with nothing coarser: chDB 26.9 takes "before the
# DateTime 60" for "until 59.000" when it chooses parts, and leaves out one that begins after that.
IN_MINUTE: Final = (
    "stream = {stream:UInt64} "
    f"AND toStartOfMinute(received_at) = {_START} "
    "AND received_at >= toDateTime64({starts_at:UInt32}, 3, 'UTC') "
    "AND received_at < toDateTime64({starts_at:UInt32} + 60, 3, 'UTC')"
)
_IN_HOUR = (
    f"level = 0 AND stream = {{stream:UInt64}} AND toDate(starts_at) = toDate({_START}) "
    f"AND starts_at >= {_START} AND starts_at < {_START} + 3600"
)
AT_PERIOD: Final = (
    f"stream = {{stream:UInt64}} AND toDate(starts_at) = toDate({_START}) AND starts_at = {_START}"
)
"""Conditions on rows of `flows` and `rollups`, for parameters `stream` and `starts_at` (s)."""

MARKERS: Final = (
    f"SELECT count() FROM rollups WHERE level = {{level:UInt8}} AND grouping = 0 AND {AT_PERIOD}"
)
MINUTE_ROWS: Final = f"SELECT count() FROM flows WHERE {IN_MINUTE}"
HOUR_ROWS: Final = f"SELECT count() FROM rollups WHERE {_IN_HOUR} AND grouping = 0"
"""How much there is to close: without any of it the period needs no roll-ups."""


def close_minute_sql(*, ordered: bool = True) -> str:
    """Return the statement for parameters `stream` and `starts_at` (s).

    ordered: only a negative control leaves out the order of the block.
    """
    carry_digest = ", ".join(str(each.code) for each in GROUPING_SETS if each.digest)
    columns = {
        "level": str(int(Level.MINUTE)),
        "grouping": f"toUInt8({_grouping_code()})",
        "starts_at": _START,
        "stream": "{stream:UInt64}",
        # One stream has one collector; as a key it would make every group larger.
        "collector": f"(SELECT max(collector) FROM flows WHERE {IN_MINUTE})",
        **{name: _key(name) for name in DIMENSIONS},
        **{name: _over_source(sql) for name, sql in SUMS.items()},
        "digest": f"if({_grouping_code()} IN ({carry_digest}), sumWithOverflow(v_hash), 0)",
        "digest_version": f"toUInt8({digests.VERSION})",
    }
    source = ", ".join(
        [
            *(f"{sql} AS {_key(name)}" for name, sql in DIMENSIONS.items()),
            "bytes AS v_bytes, packets AS v_packets, sampling_rate AS v_sampling_rate",
            f"{digests.row_hash()} AS v_hash",
        ]
    )
    sets = ", ".join(_key_list(each) for each in GROUPING_SETS)
    return (
        f"INSERT INTO rollups ({', '.join(_COLUMNS)}) "
        f"SELECT {', '.join(columns[name] for name in _COLUMNS)} "
        f"FROM (SELECT {source} FROM flows WHERE {IN_MINUTE}) "
        f"GROUP BY GROUPING SETS ({sets}) HAVING count() > 0" + (" ORDER BY ALL" * ordered)
    )


def close_hour_sql(*, ordered: bool = True) -> str:
    """Return the statement for parameters `stream` and `starts_at` (s): sums over the minutes.

    A minute's row holds the default in each dimension its grouping set lacks, so the set's code
    and all dimensions together are the key of the hour's rows too.
    """
    columns = {
        "level": str(int(Level.HOUR)),
        "grouping": "grouping",
        "starts_at": _START,
        "stream": "{stream:UInt64}",
        "collector": f"(SELECT max(collector) FROM rollups WHERE {_IN_HOUR} AND grouping = 0)",
        **{name: name for name in DIMENSIONS},
        **{name: f"sum(rollups.{name})" for name in SUMS},
        "digest": "sumWithOverflow(rollups.digest)",
        # Digests over other columns do not add up: 0 says that the hour has none.
        "digest_version": (
            "toUInt8(if(min(rollups.digest_version) = max(rollups.digest_version), "
            "max(rollups.digest_version), 0))"
        ),
    }
    return (
        f"INSERT INTO rollups ({', '.join(_COLUMNS)}) "
        f"SELECT {', '.join(columns[name] for name in _COLUMNS)} "
        f"FROM rollups WHERE {_IN_HOUR} "
        f"GROUP BY grouping, {', '.join(DIMENSIONS)}" + (" ORDER BY ALL" * ordered)
    )


def close_token(level: Level, stream: int, starts_at_s: int, attempt: int) -> str:
    """Return the deduplication token of a closing; a repair closes again under a new attempt."""
    return f"close/{int(level)}/{stream:016x}/{starts_at_s}/{attempt}"


def _key(dimension: str) -> str:
    return f"k_{dimension}"


def _key_list(grouping_set: GroupingSet) -> str:
    return f"({', '.join(_key(name) for name in grouping_set.dimensions)})"


def _over_source(sql: str) -> str:
    for column in ("bytes", "packets", "sampling_rate"):
        sql = sql.replace(column, f"v_{column}")
    return sql


def _grouping_code() -> str:
    """Return the SQL that names a row's grouping set by the dimensions it kept.

    `grouping` has a bit for each dimension, the first highest; it is set where the row does not
    keep the dimension.
    """
    names = list(DIMENSIONS)
    masks = [
        sum(1 << at for at, name in enumerate(reversed(names)) if name not in each.dimensions)
        for each in GROUPING_SETS
    ]
    codes = [each.code for each in GROUPING_SETS]
    keys = ", ".join(_key(name) for name in names)
    return f"transform(grouping({keys}), {masks}, {codes}, 255)"

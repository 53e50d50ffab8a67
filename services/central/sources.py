"""Where a report's rows come from: closed hours, closed minutes and the raw rows of open minutes.

The vector of open streams is read first and bound to the one statement. What closes meanwhile is
still answered from the level the vector names, which holds it too: a total never falls.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.central.filters import RAW_COLUMNS, Condition, Parameters
from services.central.store.rollups import DIMENSIONS, SUMS, GroupingSet, Level

MINUTE_MS = 60_000
HOUR_MS = 3_600_000

_NEVER_S = 2**32 - 1


@dataclass(frozen=True, slots=True)
class OpenStream:
    """How far a stream that may still grow is rolled up; both in ms, starts of a minute, hour."""

    stream: int
    minutes_until_ms: int
    hours_until_ms: int


OpenStreams = Sequence[OpenStream]
"""Every stream that has not ended. One that is missing is answered from roll-ups alone."""


@dataclass(frozen=True, slots=True)
class Span:
    """What is asked of each source, in ms; from_ms and to_ms are starts of minutes.

    step_s: length of a bucket, None without buckets.
    """

    from_ms: int
    to_ms: int
    step_s: int | None = None

    @property
    def hours_ms(self) -> tuple[int, int]:
        """The whole hours inside; empty when buckets are finer than hours."""
        if self.step_s is not None and self.step_s % 3600:
            return self.from_ms, self.from_ms
        first = -(-self.from_ms // HOUR_MS) * HOUR_MS
        return first, max(first, self.to_ms // HOUR_MS * HOUR_MS)


def rows_sql(
    span: Span,
    columns: Sequence[str],
    conditions: Sequence[Condition],
    grouping_set: GroupingSet | None,
    streams: OpenStreams,
    parameters: Parameters,
) -> str:
    """Return a SELECT of `bucket`, `columns` and the sums, to be summed up again by its reader.

    grouping_set: None takes raw rows alone. Bound values are added to `parameters`; the same span
    and streams may be used for several selects of one statement.
    """
    for each in conditions:
        parameters.update(each.parameters)
    parameters.update(_span_parameters(span))
    if grouping_set is None:
        return _raw(span, columns, conditions, "1")
    parameters.update(_stream_parameters(streams))
    first_hour, last_hour = span.hours_ms
    parts = [_minutes(span, columns, conditions, grouping_set, streams)]
    if first_hour < last_hour:
        parts.append(_hours(span, columns, conditions, grouping_set, streams))
    if any(each.minutes_until_ms < span.to_ms for each in streams):
        open_only = (
            "received_at >= toDateTime64({minutes_until_min:UInt32}, 3, 'UTC') AND "
            f"toUnixTimestamp(toStartOfMinute(received_at)) >= {_until('minutes', streams)}"
        )
        parts.append(_raw(span, columns, conditions, open_only))
    return " UNION ALL ".join(parts)


def _minutes(
    span: Span,
    columns: Sequence[str],
    conditions: Sequence[Condition],
    grouping_set: GroupingSet,
    streams: OpenStreams,
) -> str:
    where = [
        "starts_at >= toDateTime({from_s:UInt32}, 'UTC')",
        "starts_at < toDateTime({to_s:UInt32}, 'UTC')",
    ]
    if streams:
        where.append(f"toUnixTimestamp(starts_at) < {_until('minutes', streams)}")
    first_hour, last_hour = span.hours_ms
    if first_hour < last_hour:
        outside = [
            "starts_at < toDateTime({first_hour_s:UInt32}, 'UTC')",
            "starts_at >= toDateTime({last_hour_s:UInt32}, 'UTC')",
        ]
        if streams:
            # The constant bound lets the engine skip the minutes whose hours are all closed.
            outside.append(
                "(starts_at >= toDateTime({hours_until_min:UInt32}, 'UTC') "
                f"AND toUnixTimestamp(starts_at) >= {_until('hours', streams)})"
            )
        where.append(f"({' OR '.join(outside)})")
    return _rollups(Level.MINUTE, span, columns, conditions, grouping_set, where)


def _hours(
    span: Span,
    columns: Sequence[str],
    conditions: Sequence[Condition],
    grouping_set: GroupingSet,
    streams: OpenStreams,
) -> str:
    where = [
        "starts_at >= toDateTime({first_hour_s:UInt32}, 'UTC')",
        "starts_at < toDateTime({last_hour_s:UInt32}, 'UTC')",
    ]
    if streams:
        where.append(f"toUnixTimestamp(starts_at) < {_until('hours', streams)}")
    return _rollups(Level.HOUR, span, columns, conditions, grouping_set, where)


def _rollups(
    level: Level,
    span: Span,
    columns: Sequence[str],
    conditions: Sequence[Condition],
    grouping_set: GroupingSet,
    where: Sequence[str],
) -> str:
    names = {name: name for name in (*DIMENSIONS, "collector")}
    # Qualified, because the sums are named as the columns they are made of.
    sums = {name: f"sum(rollups.{name})" for name in SUMS}
    tests = [
        f"level = {int(level)} AND grouping = {grouping_set.code}",
        *where,
        *(each.sql(names) for each in conditions),
    ]
    bucket = _bucket("toUnixTimestamp(starts_at)", span)
    return _select("rollups", bucket, columns, names, sums, tests)


def _raw(span: Span, columns: Sequence[str], conditions: Sequence[Condition], where: str) -> str:
    tests = [
        "received_at >= toDateTime64({from_s:UInt32}, 3, 'UTC')",
        "received_at < toDateTime64({to_s:UInt32}, 3, 'UTC')",
        where,
        *(each.sql(_RAW) for each in conditions),
    ]
    sums = {
        "flows": "count()",
        "bytes": "sum(flows.bytes)",
        "packets": "sum(flows.packets)",
        "bytes_scaled": "sum(flows.bytes * greatest(flows.sampling_rate, 1))",
        "packets_scaled": "sum(flows.packets * greatest(flows.sampling_rate, 1))",
    }
    bucket = _bucket("toUnixTimestamp(toStartOfMinute(received_at))", span)
    return _select("flows", bucket, columns, _RAW, sums, tests)


_RAW: Mapping[str, str] = RAW_COLUMNS


def _select(
    table: str,
    bucket: str,
    columns: Sequence[str],
    names: Mapping[str, str],
    sums: Mapping[str, str],
    tests: Sequence[str],
) -> str:
    keys = [f"{bucket} AS bucket", *(f"{names[column]} AS c_{column}" for column in columns)]
    values = [f"{sql} AS s_{name}" for name, sql in sums.items()]
    grouped = ["bucket", *(f"c_{column}" for column in columns)]
    return (
        f"SELECT {', '.join([*keys, *values])} FROM {table} "
        f"WHERE {' AND '.join(tests)} GROUP BY {', '.join(grouped)}"
    )


def _bucket(seconds: str, span: Span) -> str:
    if span.step_s is None:
        return "toUInt32(0)"
    return f"toUInt32(intDiv({seconds}, {{step_s:UInt32}}) * {{step_s:UInt32}})"


def _until(level: str, streams: OpenStreams) -> str:
    """Return the SQL of a row's stream's `minutes_until` or `hours_until`, in s."""
    assert streams, "without open streams there is nothing to look up"
    return (
        f"transform(stream, {{streams:Array(UInt64)}}, {{{level}_until:Array(UInt32)}}, "
        f"toUInt32({_NEVER_S}))"
    )


def _span_parameters(span: Span) -> Parameters:
    first_hour, last_hour = span.hours_ms
    parameters: Parameters = {"from_s": span.from_ms // 1000, "to_s": span.to_ms // 1000}
    if first_hour < last_hour:
        parameters |= {"first_hour_s": first_hour // 1000, "last_hour_s": last_hour // 1000}
    if span.step_s is not None:
        parameters["step_s"] = span.step_s
    return parameters


def _stream_parameters(streams: OpenStreams) -> Parameters:
    if not streams:
        return {}
    minutes = [each.minutes_until_ms // 1000 for each in streams]
    hours = [each.hours_until_ms // 1000 for each in streams]
    return {
        "streams": [each.stream for each in streams],
        "minutes_until": minutes,
        "hours_until": hours,
        "minutes_until_min": min(minutes),
        "hours_until_min": min(hours),
    }

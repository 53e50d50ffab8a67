"""The reports: one question and the vector of open streams -> one statement with bound values."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from services.central.filters import BY, RAW_COLUMNS, Condition, Parameters, ReportError, condition
from services.central.instants import format_instant
from services.central.sources import HOUR_MS, MINUTE_MS, OpenStreams, Span, rows_sql
from services.central.store.rollups import DIMENSIONS, SUMS, GroupingSet, covering_set
from shared.flow_record import COLUMNS

LIMIT_MAX: Final = 10_000
INTERFACES_MAX: Final = 50_000
"""Every interface of a large network is one answer."""
PAGE_MAX: Final = 1_000
BUCKETS_MAX: Final = 10_000
POINTS_MAX: Final = 100_000
"""Groups times buckets of a time series: all of them are one answer."""
LATEST_MS: Final = (2**32 - 1) // 60 * 60_000
"""The last whole minute the store can name, in 2106."""
GIVEN_MAX: Final = 2**20
"""More rows than any datagram has."""

METRICS: Final = ("bytes", "packets", "flows")

Source = Literal["rollups", "raw"]


@dataclass(frozen=True, slots=True)
class Kept:
    """Since when each kind of row is kept, ms; 0 when nothing was dropped yet.

    repairs: (from, to) of what is under repair, so may be half there.
    """

    raw_from_ms: int = 0
    minutes_from_ms: int = 0
    hours_from_ms: int = 0
    repairs: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRequest:
    """One question, as typed: every name and value is checked when the statement is built.

    from_ms, to_ms: UTC, to_ms exclusive. by: a name of BY; None for totals. metric: what to order
    by. scaled: order by what was sampled, times its rate (flows are never scaled). step_s: length
    of a bucket, a multiple of 60. filters: name -> values; any value, all names. of_all: the range
    is all there is: that hours were dropped once is nothing to say then.
    """

    from_ms: int
    to_ms: int
    by: str | None = None
    metric: str = "bytes"
    scaled: bool = False
    limit: int = 10
    step_s: int | None = None
    filters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    of_all: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement and what its answer covers.

    from_ms, to_ms: the range that is really answered. source: `rollups` (with the raw rows of
    open minutes), or `raw` rows alone. notes: sentences for the user on what differs from what
    was asked.
    """

    sql: str
    parameters: Parameters
    from_ms: int
    to_ms: int
    source: Source
    notes: tuple[str, ...] = ()


def totals(request: ReportRequest, streams: OpenStreams, kept: Kept = Kept()) -> Statement:
    """Return the sums over everything that passes the filters: one row."""
    plan = _plan(request, (), streams, kept)
    return plan.statement(f"SELECT {_SUMS_OF_SUMS} FROM ({plan.rows})")


def top(request: ReportRequest, streams: OpenStreams, kept: Kept = Kept()) -> Statement:
    """Return the largest groups by `by`, largest first; equal ones by their keys."""
    columns = _by_columns(request)
    _check_limit(request.limit, LIMIT_MAX)
    plan = _plan(request, columns, streams, kept)
    plan.parameters["limit"] = request.limit
    keys = _named(columns)
    order = ", ".join([f"{_metric(request)} DESC", *columns])
    return plan.statement(
        f"SELECT {keys}, {_SUMS_OF_SUMS} FROM ({plan.rows}) "
        f"GROUP BY {', '.join(columns)} ORDER BY {order} LIMIT {{limit:UInt32}}"
    )


def exporters(request: ReportRequest, streams: OpenStreams, kept: Kept = Kept()) -> Statement:
    """Return the sums of every exporter of the range, by address."""
    _check_limit(request.limit, LIMIT_MAX)
    plan = _plan(request, ("exporter",), streams, kept)
    plan.parameters["limit"] = request.limit
    return plan.statement(
        f"SELECT c_exporter AS exporter, {_SUMS_OF_SUMS} FROM ({plan.rows}) "
        "GROUP BY exporter ORDER BY exporter LIMIT {limit:UInt32}"
    )


def interfaces(
    request: ReportRequest, streams: OpenStreams, kept: Kept = Kept(), *, busiest: bool = False
) -> Statement:
    """Return every interface of the range: exporter, interface, in_* and out_* sums.

    busiest: ordered by the larger of both directions, largest first, instead of by name.
    """
    _check_limit(request.limit, INTERFACES_MAX)
    conditions = _conditions(request.filters)
    # Where only raw rows answer one direction, they answer both: else their ranges would differ.
    is_raw = None in [_grouping_set(columns, conditions) for columns in _WAYS.values()]
    plans = {
        way: _plan(request, columns, streams, kept, is_raw=is_raw) for way, columns in _WAYS.items()
    }
    plan = plans["in"]
    plan.parameters["limit"] = request.limit
    sums = ", ".join(
        f"sumIf(s_{name}, way = '{way}') AS {way}_{name}" for way in _WAYS for name in SUMS
    )
    rows = " UNION ALL ".join(
        f"SELECT '{way}' AS way, c_exporter AS exporter, c_{way}_if AS interface, {_SUMS} "
        f"FROM ({part.rows})"
        for way, part in plans.items()
    )
    metric = _metric(request)
    first = f"greatest(in_{metric}, out_{metric}) DESC, " if busiest else ""
    return plan.statement(
        f"SELECT exporter, interface, {sums} FROM ({rows}) GROUP BY exporter, interface "
        f"ORDER BY {first}exporter, interface LIMIT {{limit:UInt32}}"
    )


def timeseries(request: ReportRequest, streams: OpenStreams, kept: Kept = Kept()) -> Statement:
    """Return sums per bucket (`at`: its start, s since 1970), for each of the largest groups."""
    columns = _by_columns(request) if request.by is not None else ()
    _check_limit(request.limit, LIMIT_MAX)
    plan = _plan(request, columns, streams, kept, bucketed=True)
    if columns and request.limit * plan.buckets > POINTS_MAX:
        raise ReportError("limit", f"times {plan.buckets} buckets is more than {POINTS_MAX}")
    if not columns:
        return plan.statement(
            f"SELECT bucket AS at, {_SUMS_OF_SUMS} FROM ({plan.rows}) GROUP BY at ORDER BY at"
        )
    plan.parameters["limit"] = request.limit
    metric, keys = _metric(request), ", ".join(columns)
    grouped = (
        f"SELECT bucket AS at, {_named(columns)}, {_SUMS_OF_SUMS} FROM ({plan.rows}) "
        f"GROUP BY at, {keys}"
    )
    totalled = f"SELECT *, sum({metric}) OVER (PARTITION BY {keys}) AS total FROM ({grouped})"
    ranked = f"SELECT *, dense_rank() OVER (ORDER BY total DESC, {keys}) AS rank FROM ({totalled})"
    return plan.statement(
        f"SELECT at, {keys}, {', '.join(SUMS)} FROM ({ranked}) "
        "WHERE rank <= {limit:UInt32} ORDER BY at, rank"
    )


def losses(request: ReportRequest, *, by_exporter: bool = True) -> Statement:
    """Return what was lost by exporter and reason; only the filter `exporter` applies.

    by_exporter: False sums all exporters up, of which there may be more than the limit.
    """
    from_ms, to_ms, notes = _minutes_of(request)
    _check_limit(request.limit, LIMIT_MAX)
    conditions = _conditions({k: v for k, v in request.filters.items() if k == "exporter"})
    parameters: Parameters = {
        "from_s": from_ms // 1000,
        "to_s": to_ms // 1000,
        "limit": request.limit,
    }
    tests = ["minute >= toDateTime({from_s:UInt32}, 'UTC')"]
    tests.append("minute < toDateTime({to_s:UInt32}, 'UTC')")
    for each in conditions:
        parameters.update(each.parameters)
        tests.append(each.sql({"exporter": "exporter"}))
    keys = "exporter, reason" if by_exporter else "reason"
    sql = (
        f"SELECT {keys}, sum(losses.datagrams) AS datagrams, sum(losses.flows) AS flows "
        f"FROM losses WHERE {' AND '.join(tests)} "
        f"GROUP BY {keys} ORDER BY {keys} LIMIT {{limit:UInt32}}"
    )
    return Statement(sql, parameters, from_ms, to_ms, "raw", tuple(notes))


def one_more(statement: Statement) -> Statement:
    """Return `statement` for a row beyond its limit, which tells that there are more."""
    limit = statement.parameters["limit"]
    assert isinstance(limit, int)
    return replace(statement, parameters={**statement.parameters, "limit": limit + 1})


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page of flows ended: its last datagram, and how many of its rows were given."""

    received_at_ms: int
    stream: int
    datagram: int
    given: int

    def encode(self) -> str:
        """Return the cursor as text for a URL."""
        values = [self.received_at_ms, self.stream, self.datagram, self.given]
        return base64.urlsafe_b64encode(json.dumps(values).encode()).decode()

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """Read `encode`'s text; raises ReportError."""
        try:
            values = json.loads(base64.b64decode(text, altchars=b"-_", validate=True))
            cursor = cls(*(int(value) for value in values))
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise ReportError("cursor", "is none of this search's") from error
        in_range = 0 <= cursor.received_at_ms <= LATEST_MS + 60_000
        in_range &= 0 <= cursor.given < GIVEN_MAX
        if not (in_range and 0 <= cursor.stream < 2**64 and 0 <= cursor.datagram < 2**64):
            raise ReportError("cursor", "is none of this search's")
        return cursor


def flows(request: ReportRequest, cursor: Cursor | None = None, kept: Kept = Kept()) -> Statement:
    """Return a page of raw flow records, newest first, with every column of the flow record.

    The order is by time, stream and datagram; the rows of one datagram by their hash. Where the
    page ends is found by those columns alone: whole rows are read, and hashed, only from there on.
    """
    from_ms, to_ms, notes = _minutes_of(request)
    _check_limit(request.limit, PAGE_MAX)
    notes += _raw_notes(from_ms, kept) + _repair_notes(from_ms, to_ms, kept)
    given = cursor.given if cursor else 0
    parameters: Parameters = {
        "from_s": from_ms // 1000,
        "to_s": to_ms // 1000,
        "limit": request.limit,
        "given": given,
        "fetched": request.limit + given,
    }
    tests = ["received_at >= toDateTime64({from_s:UInt32}, 3, 'UTC')"]
    tests.append("received_at < toDateTime64({to_s:UInt32}, 3, 'UTC')")
    if cursor:
        at = "fromUnixTimestamp64Milli({at_ms:Int64}, 'UTC')"
        tests.append(f"received_at <= {at}")
        tests.append(
            f"(received_at, stream, datagram) <= ({at}, {{stream:UInt64}}, {{datagram:UInt64}})"
        )
        parameters |= {
            "at_ms": cursor.received_at_ms,
            "stream": cursor.stream,
            "datagram": cursor.datagram,
        }
    for each in _conditions(request.filters):
        parameters.update(each.parameters)
        tests.append(each.sql(RAW_COLUMNS))
    names = ", ".join(column.name for column in COLUMNS)
    order = "received_at DESC, stream DESC, datagram DESC"
    place, where = "received_at, stream, datagram", " AND ".join(tests)
    # Not WITH TIES over whole rows: the engine then sorts every row of the range.
    last = f"SELECT {place} FROM flows WHERE {where} ORDER BY {order} LIMIT {{fetched:UInt32}}"
    # The first test lets the engine skip what is older; a tuple's does not.
    sql = (
        f"WITH (SELECT min(({place})) FROM ({last})) AS page_end "
        f"SELECT {names} FROM flows WHERE {where} "
        f"AND received_at >= page_end.1 AND ({place}) >= page_end "
        f"ORDER BY {order}, cityHash64({names}) LIMIT {{limit:UInt32}} OFFSET {{given:UInt32}}"
    )
    return Statement(sql, parameters, from_ms, to_ms, "raw", tuple(notes))


def next_cursor(
    page: Sequence[tuple[int, int, int]], limit: int, before: Cursor | None
) -> Cursor | None:
    """Return the cursor after `page`: (received_at ms, stream, datagram) of its rows, in order.

    None when the page was not full: there is no more.
    """
    if len(page) < limit:
        return None
    last = page[-1]
    given = sum(1 for each in page if each == last)
    if before and (before.received_at_ms, before.stream, before.datagram) == last:
        given += before.given
    return Cursor(*last, given)


@dataclass(frozen=True, slots=True)
class _Plan:
    rows: str
    parameters: Parameters
    from_ms: int
    to_ms: int
    source: Source
    notes: tuple[str, ...]

    @property
    def buckets(self) -> int:
        """How many buckets of a time series the range touches at most."""
        step_s = self.parameters["step_s"]
        assert isinstance(step_s, int)
        return (self.to_ms - self.from_ms) // 1000 // step_s + 1

    def statement(self, sql: str) -> Statement:
        return Statement(sql, self.parameters, self.from_ms, self.to_ms, self.source, self.notes)


_WAYS: Mapping[str, tuple[str, ...]] = {way: ("exporter", f"{way}_if") for way in ("in", "out")}
_SUMS = ", ".join(f"s_{name}" for name in SUMS)
_SUMS_OF_SUMS = ", ".join(f"sum(s_{name}) AS {name}" for name in SUMS)


def _plan(
    request: ReportRequest,
    columns: tuple[str, ...],
    streams: OpenStreams,
    kept: Kept,
    *,
    bucketed: bool = False,
    is_raw: bool = False,
) -> _Plan:
    """Return where the rows come from; is_raw: from raw rows, also where roll-ups have them."""
    from_ms, to_ms, notes = _minutes_of(request)
    conditions = _conditions(request.filters)
    grouping_set = None if is_raw else _grouping_set(columns, conditions)
    step_s = _step(request.step_s, from_ms, to_ms) if bucketed else None
    if grouping_set is None:
        notes += _raw_notes(from_ms, kept)
    elif from_ms < kept.minutes_from_ms:
        # Of so long ago only hours are left.
        wide = from_ms // HOUR_MS * HOUR_MS, min(-(-to_ms // HOUR_MS) * HOUR_MS, LATEST_MS)
        if wide != (from_ms, to_ms):
            notes.append("minutes of this range are no longer kept: widened to whole hours")
        from_ms, to_ms = wide
        if step_s is not None and step_s % 3600:
            step_s = -(-step_s // 3600) * 3600
            notes.append(f"minutes of this range are no longer kept: step is {step_s} s")
        if from_ms < kept.hours_from_ms and not request.of_all:
            notes.append("of the start of this range nothing is kept")
    if step_s is not None and (to_ms - from_ms) // 1000 // step_s > BUCKETS_MAX:
        raise ReportError("step", f"gives more than {BUCKETS_MAX} buckets")
    notes += _repair_notes(from_ms, to_ms, kept)
    parameters: Parameters = {}
    span = Span(from_ms, to_ms, step_s)
    rows = rows_sql(span, columns, conditions, grouping_set, streams, parameters)
    source: Source = "raw" if grouping_set is None else "rollups"
    return _Plan(rows, parameters, from_ms, to_ms, source, tuple(notes))


def _grouping_set(columns: Sequence[str], conditions: Sequence[Condition]) -> GroupingSet | None:
    wanted = frozenset(columns).union(*(each.columns for each in conditions)) - {"collector"}
    return covering_set(wanted) if wanted <= set(DIMENSIONS) else None


def _conditions(filters: Mapping[str, Sequence[str]]) -> list[Condition]:
    return [condition(name, values) for name, values in sorted(filters.items())]


def _by_columns(request: ReportRequest) -> tuple[str, ...]:
    if request.by is None or request.by not in BY:
        raise ReportError("by", f"is none of {', '.join(BY)}")
    return BY[request.by]


def _metric(request: ReportRequest) -> str:
    if request.metric not in METRICS:
        raise ReportError("metric", f"is none of {', '.join(METRICS)}")
    return (
        f"{request.metric}_scaled"
        if request.scaled and request.metric != "flows"
        else request.metric
    )


def _named(columns: Sequence[str]) -> str:
    return ", ".join(f"c_{column} AS {column}" for column in columns)


def _minutes_of(request: ReportRequest) -> tuple[int, int, list[str]]:
    """Return the range widened to whole minutes, and a note when that changed it."""
    if not 0 <= request.from_ms <= LATEST_MS:
        raise ReportError("from", "is no time between 1970 and 2106")
    if not request.from_ms < request.to_ms <= LATEST_MS:
        raise ReportError("to", "is not after `from`, or later than 2106")
    from_ms = request.from_ms // MINUTE_MS * MINUTE_MS
    to_ms = -(-request.to_ms // MINUTE_MS) * MINUTE_MS
    if (from_ms, to_ms) == (request.from_ms, request.to_ms):
        return from_ms, to_ms, []
    return from_ms, to_ms, ["widened to whole minutes"]


def _raw_notes(from_ms: int, kept: Kept) -> list[str]:
    if from_ms >= kept.raw_from_ms:
        return []
    return ["only flow records answer this, and those of the start of the range are dropped"]


def _repair_notes(from_ms: int, to_ms: int, kept: Kept) -> list[str]:
    """Name the first minute of the range that is under repair, and how many there are."""
    starts = sorted({start for start, end in kept.repairs if start < to_ms and end > from_ms})
    if not starts:
        return []
    first = format_instant(starts[0])
    others = f" and {len(starts) - 1} more" if len(starts) > 1 else ""
    return [f"the minute {first}{others} is under repair: its rows may be missing for now"]


def _step(step_s: int | None, from_ms: int, to_ms: int) -> int:
    if step_s is None:
        raise ReportError("step", "is missing")
    if step_s < 60 or step_s % 60 or step_s > 366 * 86_400:
        raise ReportError("step", "is no multiple of 60 s up to a year")
    if (to_ms - from_ms) // 1000 // step_s > BUCKETS_MAX:
        raise ReportError("step", f"gives more than {BUCKETS_MAX} buckets")
    return step_s


def _check_limit(limit: int, largest: int) -> None:
    if not 1 <= limit <= largest:
        raise ReportError("limit", f"is not between 1 and {largest}")

"""How far a stream has come, and how one message moves it.

Applied is what the data says: of each table a row is new when its number is above that table's own
maximum in the store. The position hint is written after the data, so it may be old, never new, and
the larger of the two counts.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from services.central.messages import MINUTE_MS, Message, Verdict
from services.central.store.rollups import Level
from services.central.store.rows import LossRow, QuarantineRow
from shared.addresses import UNSPECIFIED
from shared.flow_message import FlowRange
from shared.losses import LossReason

HOUR_MS = 60 * MINUTE_MS
FORCED_MS = 8 * 24 * HOUR_MS
"""A minute still open this long after its end is closed as it stands."""


class Alarm(StrEnum):
    """What somebody must look at."""

    LOG_GAP = "log_gap"
    """Numbers of a stream are missing in the log."""
    TWO_STREAMS = "two_streams"
    """Two living streams of one `name/worker` in one minute: two collectors of one name."""
    QUARANTINED = "quarantined"
    STRAY = "stray"
    """A range that was sent for a topic made again since was passed over."""
    REFUSED_LATE = "refused_late"
    CLOSED_MINUTE = "closed_minute"
    """New rows for a minute that is closed, or of a stream that has ended; refused."""
    LOSSES_AGAIN = "losses_again"
    """Losses of a range that overlaps one already counted: some may be counted twice."""
    TOPIC_CHANGED = "topic_changed"
    """Topic `flows` was made again."""
    POSITION_LOST = "position_lost"
    """The log no longer has the position that was to be read next."""
    FORCED_CLOSING = "forced_closing"
    """A minute was closed 8 days after its end without its stream having passed it."""


@dataclass(frozen=True, slots=True)
class Closing:
    """A period of a stream that gets no more rows. starts_ms: UTC, a whole minute or hour."""

    stream: int
    level: Level
    starts_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a stream is applied here.

    flows_max, losses_max: largest number in each table when this process started; 0 for none.
    last: every number up to it is applied, in both tables.
    minutes_until_ms, hours_until_ms: every minute (hour) below is closed; UTC, 0 for none yet.
    open_minutes, open_hours: starts of periods with rows that are not closed yet.
    listed: reports take it from the raw rows and roll-ups that the two bounds say; a stream that
        is not listed has nothing open and is answered from roll-ups alone.
    newest_ms: latest `received_at`; appended_ms: append time of its last new message.
    """

    stream: int
    worker: str
    partition: int
    started_at_ms: int
    flows_max: int = 0
    losses_max: int = 0
    last: int = 0
    minutes_until_ms: int = 0
    hours_until_ms: int = 0
    open_minutes: frozenset[int] = frozenset()
    open_hours: frozenset[int] = frozenset()
    ended: bool = False
    listed: bool = False
    newest_ms: int = 0
    appended_ms: int = 0

    @property
    def known(self) -> int:
        """The largest number that is anywhere."""
        return max(self.last, self.flows_max, self.losses_max)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one message asks for, in the order of the fields.

    first_losses: must be in the store before any later row is, or a kill between the two hides
        them: a gap, and rows refused because of what was applied before.
    rows_after: rows of datagrams above it are inserted; None: no rows are.
    trimmed_rows: rows of a message dropped whole as a repeat (a cut one is counted by its insert).
    """

    progress: Progress | None
    first_losses: tuple[LossRow, ...] = ()
    rows_after: int | None = None
    losses: tuple[LossRow, ...] = ()
    quarantine: QuarantineRow | None = None
    closings: tuple[Closing, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    trimmed_rows: int = 0


def first_sight(message: Message) -> Progress:
    """Return the progress of a stream that nothing is known of: its time begins here."""
    named = message.range
    assert named is not None
    # The headers of a value that is no Arrow may be as wrong: no bound is taken from them.
    begins_ms = 0 if message.verdict is Verdict.QUARANTINED else named.earliest_ms
    return Progress(
        stream=named.stream,
        worker=named.worker,
        partition=message.place.partition,
        started_at_ms=named.started_at_ms,
        minutes_until_ms=_minute(begins_ms),
        hours_until_ms=_hour(begins_ms),
    )


def move(before: Progress | None, message: Message, *, trim: bool = True) -> Step:
    """Return what `message` asks for and where it takes its stream. It must not be UNKNOWN.

    before: None when the message names no stream. trim: False leaves out the trimming by number;
    only a negative control wants that.
    """
    assert message.verdict is not Verdict.UNKNOWN
    if message.verdict is Verdict.STRAY:
        return Step(progress=before, alarms=(Alarm.STRAY,))
    quarantine = _quarantine(message) if message.verdict is Verdict.QUARANTINED else None
    named = message.range
    if named is None or before is None:
        return Step(progress=None, quarantine=quarantine, alarms=(Alarm.QUARANTINED,))
    alarms = [] if quarantine is None else [Alarm.QUARANTINED]
    first_losses: list[LossRow] = []
    if named.first > before.known + 1:
        gap = _loss(named, LossReason.LOG_GAP, first=before.known + 1, last=named.first - 1)
        first_losses.append(gap)
        alarms.append(Alarm.LOG_GAP)
    flows_after = max(before.flows_max, before.last) if trim else 0
    losses_after = max(before.losses_max, before.last) if trim else 0
    has_new_rows = message.rows_until > flows_after
    losses = _carried(named)
    if losses and named.first <= losses_after < named.last:
        alarms.append(Alarm.LOSSES_AGAIN)
    inserts = False
    if message.verdict is not Verdict.GOOD:
        is_late = message.verdict is Verdict.LATE
        reason = LossReason.REFUSED_LATE if is_late else LossReason.QUARANTINED
        if named.rows:
            losses.append(_loss(named, reason, flows=named.rows))
        if is_late:
            alarms.append(Alarm.REFUSED_LATE)
    elif has_new_rows and _is_closed_for(before, named):
        # A row for a closed minute would never be in a report: a collector that lets its time
        # fall is broken, and what it loses so is named. Like a gap this is known only until later
        # rows are in.
        losses.append(_loss(named, LossReason.REFUSED_LATE, flows=named.rows))
        alarms.append(Alarm.CLOSED_MINUTE)
        first_losses += _new(losses, losses_after)
        losses = []
    else:
        inserts = has_new_rows
    after, closings = _pass_time(before, message, inserts=inserts)
    return Step(
        progress=after,
        first_losses=tuple(first_losses),
        rows_after=flows_after if inserts else None,
        losses=tuple(_new(losses, losses_after)),
        quarantine=quarantine,
        closings=closings,
        alarms=tuple(alarms),
        trimmed_rows=named.rows if message.verdict is Verdict.GOOD and not has_new_rows else 0,
    )


def settle(before: Progress) -> tuple[Progress, tuple[Closing, ...]]:
    """Close what is due already, as after a start."""
    return _close_due(before)


def force(before: Progress, now_ms: int) -> tuple[Progress, tuple[Closing, ...]]:
    """Close what is open 8 days after its end; its partition must have been read to the end.

    A stream that is then left with nothing open and silent for as long is listed no more; its next
    message lists it again. now_ms: UTC.
    """
    until_ms = (now_ms - FORCED_MS) // MINUTE_MS * MINUTE_MS
    after = replace(before, minutes_until_ms=max(before.minutes_until_ms, until_ms))
    if not any(start < until_ms for start in before.open_minutes | before.open_hours):
        after = before
    after, closings = _close_due(after)
    silent = max(before.newest_ms, before.started_at_ms, before.minutes_until_ms) < until_ms
    if silent and not after.open_minutes and not after.open_hours:
        after = replace(after, listed=False)
    return after, closings


def _is_closed_for(before: Progress, named: FlowRange) -> bool:
    return before.ended or _minute(named.latest_ms) < before.minutes_until_ms


def _new(rows: list[LossRow], above: int) -> list[LossRow]:
    return [row for row in rows if row.last > above]


def _pass_time(
    before: Progress, message: Message, *, inserts: bool
) -> tuple[Progress, tuple[Closing, ...]]:
    """Move numbers and time; a repeat moves time too, and an end mark is always obeyed."""
    named = message.range
    assert named is not None
    is_new = named.last > before.known
    minute = _minute(named.latest_ms)
    # Headers of a value that is no Arrow may be as wrong: its time is left to the next message.
    passed = 0 if message.verdict is Verdict.QUARANTINED else minute
    after = replace(
        before,
        last=max(before.last, named.last),
        open_minutes=before.open_minutes | {minute} if inserts else before.open_minutes,
        minutes_until_ms=max(before.minutes_until_ms, passed),
        ended=before.ended or named.ended,
        listed=before.listed or inserts or (is_new and not before.ended),
        newest_ms=max(before.newest_ms, passed and named.latest_ms),
        appended_ms=message.place.append_ms if is_new else before.appended_ms,
    )
    return _close_due(after)


def _close_due(before: Progress) -> tuple[Progress, tuple[Closing, ...]]:
    """Close, in order, every minute below the bound, then every hour all of whose minutes are."""
    everything = before.ended
    minutes = sorted(m for m in before.open_minutes if everything or m < before.minutes_until_ms)
    hours_with_rows = before.open_hours | {_hour(minute) for minute in minutes}
    hours_until_ms = max(before.hours_until_ms, _hour(before.minutes_until_ms))
    hours = sorted(hour for hour in hours_with_rows if everything or hour < hours_until_ms)
    closings = [Closing(before.stream, Level.MINUTE, start) for start in minutes]
    closings += [Closing(before.stream, Level.HOUR, start) for start in hours]
    after = replace(
        before,
        open_minutes=before.open_minutes.difference(minutes),
        open_hours=hours_with_rows.difference(hours),
        hours_until_ms=hours_until_ms,
        listed=before.listed and not before.ended,
    )
    return after, tuple(closings)


def _carried(named: FlowRange) -> list[LossRow]:
    return [
        LossRow(
            stream=named.stream,
            first=named.first,
            last=named.last,
            minute_ms=_minute(named.latest_ms),
            exporter=loss.exporter,
            reason=int(loss.reason),
            datagrams=loss.datagrams,
            flows=loss.flows,
        )
        for loss in named.losses
    ]


def _loss(
    named: FlowRange,
    reason: LossReason,
    *,
    first: int | None = None,
    last: int | None = None,
    flows: int = 0,
) -> LossRow:
    first = named.first if first is None else first
    last = named.last if last is None else last
    return LossRow(
        stream=named.stream,
        first=first,
        last=last,
        minute_ms=_minute(named.latest_ms),
        exporter=UNSPECIFIED,
        reason=int(reason),
        datagrams=last - first + 1,
        flows=flows,
    )


def _quarantine(message: Message) -> QuarantineRow:
    place = message.place
    return QuarantineRow(
        topic_id=place.topic_id,
        partition=place.partition,
        offset=place.offset,
        seen_at_ms=place.append_ms,
        reason=message.why,
        value=message.value,
    )


def _minute(instant_ms: int) -> int:
    return instant_ms // MINUTE_MS * MINUTE_MS


def _hour(instant_ms: int) -> int:
    return instant_ms // HOUR_MS * HOUR_MS

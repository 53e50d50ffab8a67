"""The plan: which inserts and closings a run of messages asks for, in which order.

Pure. One batch is one insert, so one block and one part: rows of one day only, and fewer than
500,000. The shell carries a batch out step by step, in the order of its fields; after a kill
anywhere, the same messages planned again from the hint give exactly what is still missing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from services.central.arrow_pieces import PIECES_MAX, Piece
from services.central.messages import MINUTE_MS, Message, Verdict
from services.central.progress import (
    HOUR_MS,
    Alarm,
    Closing,
    Progress,
    Step,
    first_sight,
    move,
)
from services.central.store.rows import LossRow, QuarantineRow

INSERT_ROWS = 500_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class State:
    """All that a plan starts from.

    quarantined: highest offset in the quarantine table, by (topic id, partition).
    newest: the stream of the last new message of each worker.
    """

    streams: Mapping[int, Progress] = field(default_factory=dict)
    quarantined: Mapping[tuple[str, int], int] = field(default_factory=dict)
    newest: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AlarmRaised:
    """One alarm with its place. worker: empty where the message names none; streams: involved."""

    alarm: Alarm
    partition: int
    offset: int
    worker: str = ""
    text: str = ""
    streams: tuple[int, ...] = ()


@dataclass(slots=True, kw_only=True)
class Batch:
    """What is done together, in the order of the fields.

    enters: streams that must stand in the metadata database before their first row is inserted.
    first_losses: an insert of its own, before the rows; pieces: one insert; losses: one insert.
    progress, positions: how far the streams and partitions (next offset) are after all of it.
    """

    day: int | None = None
    enters: dict[int, Progress] = field(default_factory=dict)
    first_losses: list[LossRow] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    losses: list[LossRow] = field(default_factory=list)
    quarantine: list[QuarantineRow] = field(default_factory=list)
    closings: list[Closing] = field(default_factory=list)
    progress: dict[int, Progress] = field(default_factory=dict)
    positions: dict[int, int] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)
    quarantined: dict[tuple[str, int], int] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    alarms: list[AlarmRaised] = field(default_factory=list)
    trimmed_rows: int = 0

    @property
    def rows(self) -> int:
        """Rows of the pieces, those that are cut off included."""
        return sum(piece.rows for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Plan:
    """Batches to carry out in order; then, at `stop`, nothing until a newer release runs."""

    batches: tuple[Batch, ...]
    stop: Message | None = None

    @property
    def has_gaps(self) -> bool:
        """Whether a message does not follow on what is applied: missing numbers, fallen time."""
        return any(batch.first_losses for batch in self.batches)

    @property
    def stop_reason(self) -> str:
        """Why the central stops, as a sentence; empty when it does not."""
        if self.stop is None:
            return ""
        place = self.stop.place
        return (
            f"flows/{place.partition} at offset {place.offset} has {self.stop.why}, which this "
            "release does not know: install a newer steadflow here, centrals before collectors"
        )


def plan(
    state: State,
    messages: Iterable[Message],
    *,
    trim: bool = True,
    obey_end_marks: bool = True,
    rows_max: int = INSERT_ROWS,
) -> Plan:
    """Return what `messages` ask for; those of one partition must be in offset order.

    trim, obey_end_marks: False only in negative controls. rows_max: rows of one insert.
    """
    planner = _Planner(state, trim=trim, rows_max=rows_max)
    for message in messages:
        if message.verdict is Verdict.UNKNOWN:
            return Plan(planner.finish(), message)
        if not obey_end_marks and message.range is not None:
            message = replace(message, range=replace(message.range, ended=False))
        planner.add(message)
    return Plan(planner.finish())


def after(state: State, batch: Batch) -> State:
    """Return the state once `batch` is carried out."""
    return State(
        streams={**state.streams, **batch.progress},
        quarantined={**state.quarantined, **batch.quarantined},
        newest={**state.newest, **batch.newest},
    )


def vector(streams: Iterable[Progress]) -> tuple[Progress, ...]:
    """Return the streams that reports must split into hours, minutes and raw rows."""
    return tuple(progress for progress in streams if progress.listed)


def start_progress(
    hint: Progress | None,
    *,
    stream: int,
    flows_max: int,
    losses_max: int,
    closed_until: tuple[int, int] | None,
    open_minutes: Sequence[int],
) -> Progress:
    """Return where a stream stands when the central starts: the larger of hint and data counts.

    closed_until: ends of the last closed minute and hour in the store. open_minutes: minutes with
    raw rows at or after the larger of both bounds. Without a hint the stream counts as living.
    """
    if hint is None:
        # Worker and partition come with its next message; the bounds come from the data.
        hint = Progress(stream=stream, worker="", partition=-1, started_at_ms=0, listed=True)
    minutes_ms, hours_ms = closed_until or (0, 0)
    minutes_until_ms = max(hint.minutes_until_ms, minutes_ms)
    hours_until_ms = max(hint.hours_until_ms, hours_ms)
    last_hour = (minutes_until_ms - MINUTE_MS) // HOUR_MS * HOUR_MS
    # Closing an hour without minutes does nothing, so the hours in between need not be known. The
    # bound may be 0 (no hour closed yet): then the hours with a closed minute are at most those
    # that a stream can keep open.
    first_hour = hours_until_ms or last_hour - 9 * DAY_MS
    hours = range(first_hour, last_hour + 1, HOUR_MS) if minutes_until_ms else ()
    return replace(
        hint,
        flows_max=flows_max,
        losses_max=losses_max,
        minutes_until_ms=minutes_until_ms,
        hours_until_ms=hours_until_ms,
        open_minutes=frozenset(open_minutes),
        open_hours=frozenset(hours),
        listed=hint.listed or bool(open_minutes),
    )


class _Planner:
    """Folds messages one by one and cuts a new batch where one insert must not go on."""

    def __init__(self, state: State, *, trim: bool, rows_max: int) -> None:
        self._trim = trim
        self._rows_max = rows_max
        self._streams = dict(state.streams)
        self._newest = dict(state.newest)
        self._quarantined = dict(state.quarantined)
        self._batches: list[Batch] = []
        self._batch = Batch()

    def add(self, message: Message) -> None:
        before = self._before(message)
        step = move(before, message, trim=self._trim)
        self._cut_for(message, step)
        batch, place, named = self._batch, message.place, message.range
        batch.messages.append(message)
        batch.positions[place.partition] = place.offset + 1
        batch.trimmed_rows += step.trimmed_rows
        worker = "" if named is None else named.worker
        batch.alarms += [
            AlarmRaised(alarm, place.partition, place.offset, worker, message.why)
            for alarm in step.alarms
        ]
        log = (place.topic_id, place.partition)
        if step.quarantine is not None and place.offset > self._quarantined.get(log, -1):
            batch.quarantine.append(step.quarantine)
            batch.quarantined[log] = self._quarantined[log] = place.offset
        batch.first_losses += step.first_losses
        batch.losses += step.losses
        batch.closings += step.closings
        if named is None or before is None or step.progress is None:
            return
        if step.rows_after is not None:
            batch.pieces.append(
                Piece(
                    stream=named.stream,
                    first=named.first,
                    last=named.last,
                    after=step.rows_after,
                    rows=named.rows,
                    columns=message.columns,
                    value=message.value,
                )
            )
        self._follow(before, step.progress, message)

    def finish(self) -> tuple[Batch, ...]:
        """Return all batches, the last one included."""
        if self._batch.messages:
            self._batches.append(self._batch)
            self._batch = Batch()
        return tuple(self._batches)

    def _before(self, message: Message) -> Progress | None:
        named = message.range
        if named is None:
            return None
        before = self._streams.get(named.stream)
        if before is None:
            return first_sight(message)
        if not before.worker:
            return replace(
                before,
                worker=named.worker,
                partition=message.place.partition,
                started_at_ms=named.started_at_ms,
            )
        return before

    def _cut_for(self, message: Message, step: Step) -> None:
        """Begin another batch where this message's rows must not join the insert."""
        has_rows = step.rows_after is not None or bool(step.losses) or bool(step.first_losses)
        if not has_rows or message.range is None:
            return
        batch, day = self._batch, message.range.latest_ms // DAY_MS
        new_rows = message.range.rows if step.rows_after is not None else 0
        # They are inserted before the rows: losses of earlier messages would be below them.
        if (
            step.first_losses
            or (batch.day is not None and batch.day != day)
            or (batch.pieces and batch.rows + new_rows >= self._rows_max)
            or len(batch.pieces) == PIECES_MAX
        ):
            self.finish_current()
        self._batch.day = day

    def finish_current(self) -> None:
        """Close the batch at hand, if anything is in it."""
        if self._batch.messages:
            self._batches.append(self._batch)
        self._batch = Batch()

    def _follow(self, before: Progress, progress: Progress, message: Message) -> None:
        batch, worker = self._batch, progress.worker
        if (progress.listed and not before.listed) or before.stream not in self._streams:
            # As it was before this message: the hint must never be newer than the data.
            batch.enters[before.stream] = replace(before, listed=True)
        self._streams[progress.stream] = batch.progress[progress.stream] = progress
        is_new = message.range is not None and message.range.last > before.known
        if not is_new or progress.ended:
            return
        other = self._streams.get(self._newest.get(worker, progress.stream))
        if (
            other is not None
            and other.stream != progress.stream
            and not other.ended
            and other.appended_ms // MINUTE_MS == message.place.append_ms // MINUTE_MS
        ):
            text = f"streams {other.stream:016x} and {progress.stream:016x}"
            place = message.place
            both = (other.stream, progress.stream)
            alarm = AlarmRaised(
                Alarm.TWO_STREAMS, place.partition, place.offset, worker, text, both
            )
            batch.alarms.append(alarm)
        self._newest[worker] = batch.newest[worker] = progress.stream

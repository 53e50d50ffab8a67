"""Carries out plans on the store and the metadata database. Blocking; one thread owns it.

The order of the steps is the promise: a stream is known before its first row, rows and losses are
in before minutes close, and the hint comes last. A kill between any two is mended by the next
start, which trims by the data.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Protocol, TypeVar

from sqlalchemy.exc import DBAPIError

from services.central.apply import (
    DAY_MS,
    AlarmRaised,
    Batch,
    Plan,
    State,
    after,
    plan,
    start_progress,
    vector,
)
from services.central.arrow_pieces import join, token, token_of
from services.central.messages import Message, Place, Verdict
from services.central.metadata.database import is_away
from services.central.metadata.hints import Hints
from services.central.metadata.sightings import Sighting
from services.central.metrics import CentralMetrics
from services.central.progress import Alarm, Closing, Progress, force, settle
from services.central.store.arrow_check import ensure_readable
from services.central.store.errors import NotArrow, StoreAway
from services.central.store.retention import Held
from services.central.store.rollups import Level
from services.central.store.rows import LossRow, QuarantineRow
from services.central.too_old import too_old
from shared.backoff import waits
from shared.health import Health
from shared.kafka import PartitionFacts
from shared.losses import LossReason
from shared.settings_events import RetentionSet

log = logging.getLogger(__name__)

Result = TypeVar("Result")
FORGET_AFTER = timedelta(days=30)


class RowStore(Protocol):
    """What the applier needs of a `FlowStore`, which says what each method promises."""

    def flow_maxima(self) -> dict[int, int]: ...  # noqa: D102
    def loss_maxima(self) -> dict[int, int]: ...  # noqa: D102
    def quarantine_maxima(self) -> dict[tuple[str, int], int]: ...  # noqa: D102
    def insert_flows(self, value: bytes, *, columns: Sequence[str], token: str) -> None: ...  # noqa: D102
    def insert_losses(self, rows: Sequence[LossRow], *, token: str) -> None: ...  # noqa: D102
    def insert_quarantine(self, rows: Sequence[QuarantineRow]) -> None: ...  # noqa: D102
    def open_minutes(self, stream: int, *, since: int) -> list[int]: ...  # noqa: D102
    def rolled_until(self, stream: int) -> tuple[int, int] | None: ...  # noqa: D102
    def close_minute(self, stream: int, minute_ms: int) -> bool: ...  # noqa: D102
    def close_hour(self, stream: int, hour_ms: int) -> bool: ...  # noqa: D102
    def held(self) -> Held: ...  # noqa: D102
    def drop_raw_before(self, day: date) -> list[date]: ...  # noqa: D102
    def drop_rollups_before(self, level: Level, day: date) -> list[date]: ...  # noqa: D102
    def drop_losses_before(self, day: date) -> list[date]: ...  # noqa: D102


class Stopped(Exception):
    """The central is told to stop while it waits for a store that is away."""


class _BrokenPieces(Exception):
    def __init__(self, places: frozenset[Place]) -> None:
        super().__init__(f"{len(places)} messages are no Arrow")
        self.places = places


class Applier:
    """The state of the projection and what changes it.

    All methods but `stop`, `vector` and `state` belong to one thread.
    """

    def __init__(
        self,
        store: RowStore,
        hints: Hints,
        *,
        metrics: CentralMetrics,
        health: Health,
        before_step: Callable[[str], None] = lambda step: None,
        trim: bool = True,
        obey_end_marks: bool = True,
        hint_first: bool = False,
    ) -> None:
        """Use an open, migrated store.

        before_step: called with the name of each step; a test raises there in place of a kill.
        trim, obey_end_marks, hint_first: safeguards that only a negative control switches off.
        """
        self._store = store
        self._hints = hints
        self._metrics = metrics
        self._health = health
        self._before_step = before_step
        self._trim = trim
        self._obey_end_marks = obey_end_marks
        self._hint_first = hint_first
        self._stop = threading.Event()
        self._topic_ids: dict[int, str] = {}
        self._positions: dict[int, int] = {}
        self._state = State()
        self._vector: tuple[Progress, ...] = ()
        self._conflicts: dict[int, int] = {}
        self._held = Held()

    @property
    def conflicts(self) -> Mapping[int, int]:
        """Streams that another living stream of the same name met in one minute, and which."""
        return self._conflicts

    @property
    def vector(self) -> tuple[Progress, ...]:
        """The streams that a report must split; any thread, one consistent value."""
        return self._vector

    @property
    def state(self) -> State:
        """How far every stream is; any thread, one consistent value."""
        return self._state

    @property
    def held(self) -> Held:
        """What the store holds, as of the last time that days were dropped; any thread."""
        return self._held

    @property
    def topic_ids(self) -> Mapping[int, str]:
        """The topic's id by partition; any thread."""
        return self._topic_ids

    @property
    def positions(self) -> Mapping[int, int]:
        """Next offset by partition; any thread, one consistent value."""
        return self._positions

    def stop(self) -> None:
        """Give up waiting for a store that is away; any thread."""
        self._stop.set()

    def load(self) -> None:
        """Take the state from store and hints, so that reports are whole before Kafka is there."""
        self._load()

    def start(self, facts: Sequence[PartitionFacts]) -> dict[int, int]:
        """Load the state and return the offset from which each partition is read.

        A hint of another topic, or outside the log, is an alarm; reading then begins at the log's
        start, and what the store has already is trimmed by number.
        """
        self._load()
        hints = self._attempt("hint", self._hints.positions)
        positions = {}
        for fact in facts:
            hint = hints.get(fact.partition)
            start = fact.start_offset
            if hint is not None and hint.topic_id != fact.topic_id:
                self._raise(AlarmRaised(Alarm.TOPIC_CHANGED, fact.partition, start))
            elif hint is not None and not start <= hint.next_offset <= fact.end_offset:
                text = f"{hint.next_offset} is not within {start}..{fact.end_offset}"
                self._raise(AlarmRaised(Alarm.POSITION_LOST, fact.partition, start, text=text))
            elif hint is not None:
                start = hint.next_offset
            positions[fact.partition] = start
        self._topic_ids = {fact.partition: fact.topic_id for fact in facts}
        self._positions = positions
        self._settle()
        return positions

    def too_old(self, facts: Sequence[PartitionFacts]) -> str:
        """Return which positions the log has no longer, in a sentence; empty while it has all."""
        hints = self._attempt("hint", self._hints.positions)
        return too_old(hints, facts)

    def plan(self, messages: Sequence[Message]) -> Plan:
        """Return what `messages` (those of a partition in offset order) ask for now."""
        return plan(self._state, messages, trim=self._trim, obey_end_marks=self._obey_end_marks)

    def apply(self, messages: Sequence[Message], planned: Plan | None = None) -> str:
        """Apply `messages` (those of a partition in offset order); why it stops, or nothing.

        planned: the plan of just these messages, when nothing was applied since. Raises Stopped.
        """
        for message in messages:
            self._metrics.messages.labels(message.verdict.value).inc()
        todo = list(messages)
        while True:
            planned = planned or self.plan(todo)
            done = 0
            try:
                for batch in planned.batches:
                    self._carry_out(batch)
                    done += len(batch.messages)
            except _BrokenPieces as broken:
                todo = [_quarantined_if(message, broken.places) for message in todo[done:]]
                # Part of the batch may be in the store: the data says what.
                self._load()
                planned = None
                continue
            return planned.stop_reason

    def force_close(self, now_ms: int, *, read_to_end: frozenset[int]) -> int:
        """Close what is open 8 days after its end on partitions read to their end; how many."""
        changed: dict[int, Progress] = {}
        closings: list[Closing] = []
        everywhere = read_to_end >= self._positions.keys()
        for stream, before in self._state.streams.items():
            if before.ended or not before.listed:
                continue
            if before.partition in read_to_end or (before.partition < 0 and everywhere):
                progress, due = force(before, now_ms)
                closings += due
                if progress != before:
                    changed[stream] = progress
        for closing in closings:
            self._raise(
                AlarmRaised(
                    Alarm.FORCED_CLOSING,
                    self._state.streams[closing.stream].partition,
                    -1,
                    self._state.streams[closing.stream].worker,
                    f"stream {closing.stream:016x} {closing.level.name} {closing.starts_ms}",
                )
            )
        self._close(closings)
        if changed:
            self._save({}, changed.values(), ())
            self._state = replace(self._state, streams={**self._state.streams, **changed})
            self._publish()
        return len(closings)

    def drop_old(self, now_ms: int, retention: RetentionSet) -> int:
        """Drop days beyond retention whose periods are all closed; how many partitions."""
        today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
        open_ms = [
            start
            for progress in self._state.streams.values()
            for start in progress.open_minutes | progress.open_hours
        ]
        # A day with an open minute or hour stays whole, and so do the days after it.
        oldest_open_ms = min(open_ms, default=now_ms)
        oldest_open = datetime.fromtimestamp(oldest_open_ms / 1000, UTC).date()
        raw = min(today - timedelta(days=retention.raw_days), oldest_open)
        minutes = min(today - timedelta(days=retention.minute_days), oldest_open)
        hours = min(today - timedelta(days=retention.hour_days), oldest_open)
        dropped = [
            *self._attempt("drop", lambda: self._store.drop_raw_before(raw)),
            *self._attempt("drop", lambda: self._store.drop_rollups_before(Level.MINUTE, minutes)),
            *self._attempt("drop", lambda: self._store.drop_rollups_before(Level.HOUR, hours)),
            # The ledger of losses lasts as long as the minutes they belong to.
            *self._attempt("drop", lambda: self._store.drop_losses_before(minutes)),
        ]
        self._held = self._attempt("look up", self._store.held)
        if dropped:
            log.info("old days dropped partitions=%d", len(dropped))
        kept_days = max(FORGET_AFTER.days, retention.raw_days)
        before_ms = now_ms - kept_days * DAY_MS
        self._attempt("hint", lambda: self._hints.forget(before_ms))
        streams = {
            stream: progress
            for stream, progress in self._state.streams.items()
            if not (progress.ended and progress.newest_ms < before_ms)
        }
        self._state = replace(self._state, streams=streams)
        return len(dropped)

    def _load(self) -> None:
        """Take the state from store and hints: the larger of both counts."""
        hints = self._attempt("hint", self._hints.streams)
        flows = self._attempt("look up", self._store.flow_maxima)
        losses = self._attempt("look up", self._store.loss_maxima)
        streams = {}
        for stream in sorted(hints.keys() | flows.keys() | losses.keys()):
            hint = hints.get(stream)
            flows_max, losses_max = flows.get(stream, 0), losses.get(stream, 0)
            if hint is not None and (hint.ended or not hint.listed):
                streams[stream] = replace(hint, flows_max=flows_max, losses_max=losses_max)
                continue
            closed_until = self._attempt("look up", partial(self._store.rolled_until, stream))
            since_ms = max(
                0 if hint is None else hint.minutes_until_ms, (closed_until or (0, 0))[0]
            )
            minutes = self._attempt(
                "look up", partial(self._store.open_minutes, stream, since=since_ms)
            )
            streams[stream] = start_progress(
                hint,
                stream=stream,
                flows_max=flows_max,
                losses_max=losses_max,
                closed_until=closed_until,
                open_minutes=minutes,
            )
        quarantined, self._held = self._attempt(
            "look up", lambda: (self._store.quarantine_maxima(), self._store.held())
        )
        self._state = State(streams=streams, quarantined=quarantined)
        self._publish()

    def _settle(self) -> None:
        """Close what a kill left due, and write the hints as they are now."""
        settled: dict[int, Progress] = {}
        for stream, progress in self._state.streams.items():
            settled[stream], closings = settle(progress)
            self._close(closings)
        self._save(self._positions, settled.values(), ())
        self._state = replace(self._state, streams=settled)
        self._publish()

    def _carry_out(self, batch: Batch) -> None:
        for alarm in batch.alarms:
            self._raise(alarm)
        value, rows = b"", 0
        columns: tuple[str, ...] = ()
        if batch.pieces:
            try:
                value, columns, rows = join(batch.pieces)
            except (ValueError, OSError) as error:
                raise self._find_broken(batch, error) from error
        if batch.enters:
            self._attempt("enter", lambda: self._hints.enter(batch.enters.values()))
            self._state = replace(self._state, streams={**self._state.streams, **batch.enters})
            self._publish()
        if self._hint_first:
            self._hint(batch)
        self._insert_losses(batch.first_losses, "first losses")
        if rows:
            self._insert_flows(batch, value, columns)
            self._metrics.rows.inc(rows)
        self._metrics.trimmed_rows.inc(batch.trimmed_rows + batch.rows - rows)
        self._insert_losses(batch.losses, "losses")
        if batch.quarantine:
            self._attempt("quarantine", lambda: self._store.insert_quarantine(batch.quarantine))
        self._close(batch.closings)
        if not self._hint_first:
            self._hint(batch)
        self._state = after(self._state, batch)
        self._positions = {**self._positions, **batch.positions}
        self._publish()

    def _insert_flows(self, batch: Batch, value: bytes, columns: Sequence[str]) -> None:
        name = token(batch.pieces, table="flows")
        started_s = time.perf_counter()
        try:
            self._attempt(
                "flows", lambda: self._store.insert_flows(value, columns=columns, token=name)
            )
        except NotArrow as error:
            raise self._find_broken(batch, error) from error
        self._metrics.inserts_s.labels("flows").observe(time.perf_counter() - started_s)

    def _find_broken(self, batch: Batch, error: Exception) -> _BrokenPieces:
        """Name the messages whose bytes are no Arrow; when none is, the fault is ours."""
        places = set()
        for message in batch.messages:
            if message.verdict is Verdict.GOOD and message.value:
                try:
                    ensure_readable(message.value)
                except NotArrow:
                    places.add(message.place)
        if not places:
            raise error
        return _BrokenPieces(frozenset(places))

    def _insert_losses(self, rows: Sequence[LossRow], table: str) -> None:
        if not rows:
            return
        name = token_of(table, ((row.stream, row.first, row.last) for row in rows))
        started_s = time.perf_counter()
        self._attempt(table, lambda: self._store.insert_losses(rows, token=name))
        self._metrics.inserts_s.labels("losses").observe(time.perf_counter() - started_s)
        for row in rows:
            reason = LossReason(row.reason)
            self._metrics.lost_datagrams.labels(reason.label).inc(row.datagrams)
            self._metrics.lost_flows.labels(reason.label).inc(row.flows)
            if reason is LossReason.LOG_GAP:
                self._metrics.gap_datagrams.inc(row.datagrams)

    def _close(self, closings: Iterable[Closing]) -> None:
        for closing in closings:
            started_s = time.perf_counter()
            level = closing.level.name.lower()
            is_minute = closing.level is Level.MINUTE
            close = self._store.close_minute if is_minute else self._store.close_hour
            self._attempt(f"close {level}", partial(close, closing.stream, closing.starts_ms))
            self._metrics.closings.labels(level).inc()
            self._metrics.closings_s.labels(level).observe(time.perf_counter() - started_s)

    def _hint(self, batch: Batch) -> None:
        sightings = [
            Sighting(message.seen, message.range.earliest_ms, message.range.latest_ms)
            for message in batch.messages
            if message.range is not None and message.verdict is Verdict.GOOD
        ]
        self._save(batch.positions, batch.progress.values(), sightings)

    def _save(
        self,
        positions: Mapping[int, int],
        streams: Iterable[Progress],
        sightings: Iterable[Sighting],
    ) -> None:
        streams = list(streams)
        left_out = self._attempt(
            "hint",
            lambda: self._hints.save(
                topic_ids=self._topic_ids,
                positions=positions,
                streams=streams,
                sightings=sightings,
            ),
        )
        self._metrics.sightings_left_out.labels("exporter").inc(left_out.exporters)
        self._metrics.sightings_left_out.labels("interface").inc(left_out.interfaces)

    def _publish(self) -> None:
        self._vector = vector(self._state.streams.values())
        self._metrics.listed_streams.set(len(self._vector))

    def _attempt(self, step: str, act: Callable[[], Result]) -> Result:
        """Do one step, again and again while its engine is away: the same bytes, the same token."""
        self._before_step(step)
        for wait_s in waits(first_s=0.2, longest_s=10.0):
            self._health.turned("projection")
            try:
                result = act()
            except StoreAway as error:
                self._away(step, "store", str(error))
            except DBAPIError as error:
                if not is_away(error):
                    raise
                self._away(step, "metadata", str(error.orig))
            else:
                self._health.met("store")
                self._health.met("metadata")
                return result
            if self._stop.wait(wait_s):
                raise Stopped(step)
        raise AssertionError("waits never end")

    def _away(self, step: str, condition: str, text: str) -> None:
        self._metrics.store_errors.labels(step).inc()
        self._health.unmet(condition, f"{step}: {text}"[:300])
        log.warning("%s away, tried again step=%s error=%s", condition, step, text[:300])

    def _raise(self, raised: AlarmRaised) -> None:
        self._metrics.alarms.labels(raised.alarm.value).inc()
        if raised.alarm is Alarm.TWO_STREAMS:
            one, other = raised.streams
            self._conflicts = {**self._conflicts, one: other, other: one}
        log.error(
            "alarm kind=%s partition=%d offset=%d worker=%s text=%s",
            raised.alarm.value,
            raised.partition,
            raised.offset,
            raised.worker,
            raised.text,
        )


def _quarantined_if(message: Message, places: frozenset[Place]) -> Message:
    if message.place not in places:
        return message
    why = "no Arrow: broken below its headers"
    return replace(message, verdict=Verdict.QUARANTINED, why=why)

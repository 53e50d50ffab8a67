"""Exactly once: whatever is replayed, cut elsewhere or killed, each row is in once."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.central.applier import Applier, Stopped
from services.central.apply import State, after, plan
from services.central.messages import LATE_MS, MINUTE_MS, Message, Place, Verdict, examine
from services.central.metadata.database import open_database
from services.central.metadata.hints import Hints
from services.central.metadata.models import Base
from services.central.metrics import CentralMetrics
from services.central.progress import FORCED_MS, Alarm
from services.central.store.errors import StoreAway
from services.central.store.rollups import Level
from shared.addresses import pack_address
from shared.flow_message import encode_headers
from shared.health import Health
from shared.kafka import PartitionFacts
from shared.losses import Loss, LossReason
from shared.settings_events import RetentionSet
from tests.central.memory_store import MemoryStore
from tests.central.stream_messages import (
    HOUR,
    TOPIC_ID,
    Datagram,
    Sent,
    Stream,
    a_stream,
    cut,
    facts_of,
    log_of,
    send,
)

HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


class Killed(Exception):
    """In place of a kill: nothing after the step that raised it happens."""


class Machine:
    """A central on a store and a database that outlive its processes."""

    def __init__(self, database: str = "sqlite://", **safeguards: bool) -> None:
        self.store: MemoryStore = MemoryStore()
        self.safeguards = safeguards
        self.lose_metadata(database)
        self.applier = self.process()

    def lose_metadata(self, database: str = "sqlite://") -> None:
        self.engine = open_database(database)
        Base.metadata.create_all(self.engine)
        self.hints = Hints(self.engine, "flows")

    def process(self, before_step: Callable[[str], None] = lambda step: None) -> Applier:
        self.metrics = CentralMetrics()
        self.applier = Applier(
            self.store,
            self.hints,
            metrics=self.metrics,
            health=Health(),
            before_step=before_step,
            **self.safeguards,
        )
        return self.applier

    def read(
        self, log: Sequence[Message], *, at_once: int = 1000, facts: Sequence[PartitionFacts] = ()
    ) -> str:
        """Start at the position and read the log to its end; why it stopped."""
        position = self.applier.start(facts or facts_of(log))[0]
        rest = [message for message in log if message.place.offset >= position]
        for start in range(0, len(rest), at_once):
            stopped = self.applier.apply(rest[start : start + at_once])
            if stopped:
                return stopped
        return ""

    def alarms(self, alarm: Alarm) -> float:
        return (
            self.metrics.registry.get_sample_value(
                "steadflow_central_alarms_total", {"kind": alarm.value}
            )
            or 0.0
        )


def dies_at(number: int) -> Callable[[str], None]:
    left = [number]

    def before_step(step: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed(step)

    return before_step


def dies_before(wanted: str) -> Callable[[str], None]:
    def before_step(step: str) -> None:
        if step == wanted:
            raise Killed(step)

    return before_step


def read_through_kills(
    machine: Machine, log: Sequence[Message], chance: random.Random, *, metadata_too: bool = False
) -> None:
    """Read the log with processes that die at random steps, until one survives."""
    for _ in range(6):
        machine.process(dies_at(chance.randrange(0, 25)))
        try:
            machine.read(log, at_once=chance.randrange(1, 9))
        except Killed:
            if metadata_too and chance.random() < 0.3:
                machine.lose_metadata()
            continue
        return
    machine.process()
    machine.read(log)


@st.composite
def streams(draw: st.DrawFn, stream: int = 7) -> Stream:
    gaps = draw(st.lists(st.sampled_from([0, 1, 50, 20_000, 61_000, 700_000]), min_size=1))
    at_ms = HOUR + draw(st.sampled_from([0, 59_999, HOUR_MS - 1, 9 * HOUR_MS]))
    datagrams = []
    for number, gap_ms in enumerate(gaps, start=1):
        at_ms += gap_ms
        datagrams.append(Datagram(number, at_ms, draw(st.integers(0, 3))))
    if draw(st.booleans()):
        datagrams.append(Datagram(len(datagrams) + 1, at_ms, 0))
        return Stream(id=stream, datagrams=tuple(datagrams), ends=True)
    return Stream(id=stream, datagrams=tuple(datagrams))


@st.composite
def replays(draw: st.DrawFn) -> tuple[Stream, list[Sent]]:
    """A stream, published several times from any point on and in any cuts, whole at the end."""
    stream = draw(streams())
    length = len(stream.datagrams)
    sent: list[Sent] = []
    reached = 0
    for _ in range(draw(st.integers(0, 3))):
        first = draw(st.integers(1, reached + 1))
        cuts = frozenset(draw(st.lists(st.integers(1, length), max_size=8)))
        part = cut(stream, cuts, first=first)[: draw(st.integers(0, 12))] if first <= length else []
        sent += part
        reached = max(reached, *(each.range.last for each in part), 0)
    cuts = frozenset(draw(st.lists(st.integers(1, length), max_size=8)))
    return stream, sent + cut(stream, cuts, first=draw(st.integers(1, min(reached + 1, length))))


@given(replayed=replays(), seed=st.integers(0, 2**32), metadata_too=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_replayed_from_any_point_in_any_cuts_through_kills_each_row_is_in_once(
    replayed: tuple[Stream, list[Sent]], seed: int, metadata_too: bool
) -> None:
    stream, sent = replayed
    machine = Machine()
    read_through_kills(machine, log_of(sent), random.Random(seed), metadata_too=metadata_too)
    assert dict(machine.store.rows) == stream.rows
    assert not machine.store.losses
    machine.store.check_closed()
    if stream.ends:
        minutes = set(machine.store.minute_of.values())
        assert {m for level, _, m in machine.store.closed if level is Level.MINUTE} == minutes
        assert machine.applier.vector == ()


@pytest.mark.parametrize("step", ["enter", "flows", "losses", "close minute", "close hour", "hint"])
def test_a_kill_before_each_step_changes_nothing(step: str) -> None:
    stream = a_stream(at_ms=[0, 1, 61_000, HOUR_MS, HOUR_MS + 1], ends=True)
    loss = (Loss(pack_address("192.0.2.1"), LossReason.TRUNCATED, 1),)
    sent = [send(stream, 1, 2, losses=loss), send(stream, 3, 3), send(stream, 4, 6, losses=loss)]
    log = log_of(sent)
    machine = Machine()
    machine.applier.start(facts_of([]))
    machine.process(dies_before(step))
    # A start on an empty store writes hints too: let that one pass.
    if step != "hint":
        with pytest.raises(Killed):
            machine.read(log, at_once=2)
    machine.process()
    machine.read(log)
    assert dict(machine.store.rows) == stream.rows
    assert [row.last for row in machine.store.losses] == [2, 6]
    assert len(machine.store.closed) == 3 + 2
    machine.store.check_closed()


def test_without_trimming_by_number_a_replay_is_counted_twice() -> None:
    stream = a_stream(at_ms=[0, 1, 2])
    log = log_of([send(stream, 1, 2), send(stream, 1, 3)])
    safe, broken = Machine(), Machine(trim=False)
    safe.read(log)
    broken.read(log)
    assert dict(safe.store.rows) == stream.rows
    assert dict(broken.store.rows) != stream.rows


def test_a_hint_before_the_data_loses_rows_in_a_kill() -> None:
    stream = a_stream(at_ms=[0, 1, 2])
    log = log_of([send(stream, 1, 2), send(stream, 3, 3)])
    safe, broken = Machine(), Machine(hint_first=True)
    for machine in (safe, broken):
        machine.process(dies_before("flows"))
        with pytest.raises(Killed):
            machine.read(log, at_once=1)
        machine.process()
        machine.read(log)
    assert dict(safe.store.rows) == stream.rows
    assert dict(broken.store.rows) != stream.rows


def test_without_end_marks_the_last_minute_stays_open() -> None:
    stream = a_stream(at_ms=[0, 1], ends=True)
    safe, broken = Machine(), Machine(obey_end_marks=False)
    for machine in (safe, broken):
        machine.read(log_of(cut(stream)))
    assert len(safe.store.closed) == 2
    assert not broken.store.closed


def test_an_end_mark_is_obeyed_in_a_message_that_is_a_repeat() -> None:
    # The spool lost its tail: the mark's number is below what was published.
    stream = a_stream(at_ms=[0, 1, 2, 61_000])
    mark = send(stream, 2, 2, ended=True, rows=0)
    machine = Machine()
    machine.read(log_of([*cut(stream), Sent(mark.range, b"")]))
    assert {(level, m) for level, _, m in machine.store.closed} == {
        (Level.MINUTE, HOUR),
        (Level.MINUTE, HOUR + MINUTE_MS),
        (Level.HOUR, HOUR),
    }
    assert machine.applier.vector == ()


def test_a_repeat_moves_its_streams_time_and_closes() -> None:
    stream = a_stream(at_ms=[0, 61_000])
    machine = Machine()
    log = log_of(cut(stream))
    machine.process(dies_before("close minute"))
    with pytest.raises(Killed):
        machine.read(log)
    machine.process()
    machine.read(log)
    assert (Level.MINUTE, 1, HOUR) in machine.store.closed


def test_messages_of_a_backlog_are_joined_into_one_insert_of_one_day() -> None:
    day_end = DAY_MS - HOUR % DAY_MS
    stream = a_stream(at_ms=[0, 1, 2, day_end, day_end + 1])
    machine = Machine()
    machine.read(log_of(cut(stream, frozenset({1, 2, 3, 4}))))
    assert machine.store.inserts == [6, 4]
    assert dict(machine.store.rows) == stream.rows


def test_an_insert_stays_below_its_largest_number_of_rows() -> None:
    stream = a_stream(at_ms=range(10), rows=10)
    log = log_of(cut(stream, frozenset(range(11))))
    batches = plan(State(), log, rows_max=31).batches
    assert [batch.rows for batch in batches] == [30, 30, 30, 10]


def test_a_gap_is_named_once_also_through_a_kill() -> None:
    stream = a_stream(at_ms=[0, 1, 2, 3, 4])
    log = log_of([send(stream, 1, 1), send(stream, 4, 5)])
    for step in ("first losses", "flows", "hint"):
        machine = Machine()
        machine.read(log[:1])
        machine.process(dies_before(step))
        with pytest.raises(Killed):
            machine.read(log)
        machine.process()
        machine.read(log)
        assert [(row.first, row.last, row.reason) for row in machine.store.losses] == [
            (2, 3, LossReason.LOG_GAP)
        ]


def test_losses_before_a_gap_are_not_hidden_by_it() -> None:
    stream = a_stream(at_ms=[0, 1, 2, 3, 4])
    loss = (Loss(pack_address("192.0.2.1"), LossReason.TRUNCATED, 1),)
    log = log_of([send(stream, 1, 1, losses=loss), send(stream, 4, 5)])
    for step in ("flows", "losses", "first losses"):
        machine = Machine()
        machine.process(dies_before(step))
        with pytest.raises(Killed):
            machine.read(log)
        machine.process()
        machine.read(log)
        assert sorted((row.first, row.last) for row in machine.store.losses) == [(1, 1), (2, 3)]


def test_a_message_a_week_older_than_its_append_time_is_refused_by_itself_alone() -> None:
    stream = a_stream(at_ms=[0, 1])
    one, other = send(stream, 1, 1), send(stream, 2, 2)
    latest = other.range.latest_ms
    log = [one.at(0), other.at(1, append_ms=latest + LATE_MS + 1)]
    machine = Machine()
    machine.read(log)
    assert sum(machine.store.rows.values()) == 2
    (loss,) = machine.store.losses
    assert (loss.reason, loss.first, loss.last, loss.flows) == (LossReason.REFUSED_LATE, 2, 2, 2)
    assert other.at(1, append_ms=latest + LATE_MS).verdict is Verdict.GOOD


def test_bytes_that_are_no_arrow_are_quarantined_once_and_named() -> None:
    stream = a_stream(at_ms=[0, 1, 2])
    good = cut(stream, frozenset({1, 2}))
    log = log_of([good[0], Sent(good[1].range, b"no arrow at all"), good[2]])
    machine = Machine()
    machine.read(log)
    machine.lose_metadata()
    machine.process()
    machine.read(log)
    (quarantined,) = machine.store.quarantine
    assert (quarantined.offset, quarantined.value) == (1, b"no arrow at all")
    (loss,) = machine.store.losses
    assert (loss.reason, loss.first, loss.last, loss.flows) == (LossReason.QUARANTINED, 2, 2, 2)
    assert sum(machine.store.rows.values()) == 4


def _rotten(sent: Sent, stream: Stream) -> Iterator[tuple[str, Message]]:
    place = Place(TOPIC_ID, 0, 0, sent.range.latest_ms)
    headers = encode_headers(sent.range)
    yield "no headers", examine(place, [], sent.value)
    yield "half the value", examine(place, headers, sent.value[: len(sent.value) // 2])
    yield "no value", examine(place, headers, b"")
    fields = {
        "rows": sent.range.rows + 1,
        "last": 1,
        "stream": 99,
        "latest_ms": sent.range.earliest_ms,
    }
    for name, value in fields.items():
        changed = replace(sent.range, **{name: value})  # type: ignore[arg-type]  # its fields
        yield name, examine(place, encode_headers(changed), sent.value)
    two_minutes = send(stream, 1, 3, latest_ms=sent.range.latest_ms + MINUTE_MS)
    yield "two minutes", examine(place, encode_headers(two_minutes.range), sent.value)


def test_a_value_that_is_not_what_its_headers_say_is_quarantined() -> None:
    stream = a_stream(at_ms=[0, 1, 2])
    verdicts = {name: m.verdict for name, m in _rotten(send(stream, 1, 3), stream)}
    assert set(verdicts.values()) == {Verdict.QUARANTINED}, verdicts


@given(st.binary(max_size=400), st.data())
@settings(max_examples=200, deadline=None)
def test_any_bytes_get_a_verdict(noise: bytes, data: st.DataObject) -> None:
    sent = send(a_stream(at_ms=[0, 1, 2]), 1, 3)
    at = data.draw(st.integers(0, len(sent.value)))
    for value in (noise, sent.value[:at] + noise + sent.value[at + len(noise) :]):
        examine(Place(TOPIC_ID, 0, 0, HOUR), encode_headers(sent.range), value)


@pytest.mark.parametrize("headers", [[("v", b"2")], [("v", b"2"), ("stream", b"x")]])
def test_a_message_of_a_newer_release_stops_and_is_not_skipped(
    headers: list[tuple[str, bytes]],
) -> None:
    stream = a_stream(at_ms=[0, 1])
    one, other = cut(stream, frozenset({1}))
    newer = examine(Place(TOPIC_ID, 0, 1, HOUR), headers, b"")
    machine = Machine()
    stopped = machine.read([one.at(0), newer, other.at(2)])
    assert "install a newer steadflow" in stopped
    assert sum(machine.store.rows.values()) == 2
    assert machine.hints.positions()[0].next_offset == 1


def test_rows_for_a_closed_minute_are_a_named_loss() -> None:
    stream = a_stream(at_ms=[0, 61_000])
    fell = send(a_stream(at_ms=[0, 0, 0]), 3, 3)
    machine = Machine()
    machine.read(log_of([*cut(stream), fell]))
    assert machine.alarms(Alarm.CLOSED_MINUTE) == 1
    assert [row.reason for row in machine.store.losses] == [LossReason.REFUSED_LATE]
    machine.store.check_closed()


def test_a_stream_without_end_is_closed_eight_days_later() -> None:
    stream = a_stream(at_ms=[0, 61_000])
    machine = Machine()
    machine.read(log_of(cut(stream)))
    end_ms = HOUR + 2 * MINUTE_MS
    at_end = frozenset({0})
    assert machine.applier.force_close(end_ms + FORCED_MS - 1, read_to_end=at_end) == 0
    assert machine.applier.force_close(end_ms + FORCED_MS, read_to_end=frozenset()) == 0
    assert machine.applier.force_close(end_ms + FORCED_MS, read_to_end=at_end) == 1
    assert machine.applier.force_close(HOUR + HOUR_MS + FORCED_MS, read_to_end=at_end) == 1
    assert {level for level, _, _ in machine.store.closed} == {Level.MINUTE, Level.HOUR}
    later = HOUR + HOUR_MS + FORCED_MS + DAY_MS
    machine.applier.force_close(later, read_to_end=at_end)
    assert machine.applier.vector == ()
    # It lives after all: its next message lists it again before the first row is in.
    alive = send(a_stream(at_ms=[0, 61_000, FORCED_MS + 2 * DAY_MS]), 3, 3)
    machine.applier.apply([alive.at(2)])
    assert len(machine.applier.vector) == 1
    assert sum(machine.store.rows.values()) == 6


class FullStore(MemoryStore):
    """A store whose disk is full for the first few statements of every kind."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.left = failures

    def insert_flows(self, value: bytes, *, columns: Sequence[str], token: str) -> None:
        self.fail()
        super().insert_flows(value, columns=columns, token=token)

    def close_minute(self, stream: int, minute_ms: int) -> bool:
        self.fail()
        return super().close_minute(stream, minute_ms)

    def fail(self) -> None:
        self.left -= 1
        if self.left >= 0:
            raise StoreAway("no space left on device")


def test_a_full_disk_is_waited_out_and_nothing_is_lost() -> None:
    stream = a_stream(at_ms=[0, 61_000], ends=True)
    machine = Machine()
    machine.store = FullStore(failures=3)
    machine.process()
    machine.read(log_of(cut(stream)))
    assert dict(machine.store.rows) == stream.rows
    assert (
        machine.metrics.registry.get_sample_value(
            "steadflow_central_store_errors_total", {"step": "flows"}
        )
        == 3
    )


def test_told_to_stop_it_gives_up_on_a_full_disk_and_has_not_moved() -> None:
    stream = a_stream(at_ms=[0, 1])
    log = log_of(cut(stream))
    machine = Machine()
    machine.store = FullStore(failures=1_000_000)
    machine.process()
    machine.applier.stop()
    with pytest.raises(Stopped):
        machine.read(log)
    assert machine.hints.positions()[0].next_offset == 0
    machine.store = MemoryStore()
    machine.process()
    machine.read(log)
    assert dict(machine.store.rows) == stream.rows


def test_two_living_streams_of_one_name_in_one_minute_are_an_alarm() -> None:
    one, other = a_stream(1, at_ms=[0, 1]), a_stream(2, at_ms=[0, 1])
    messages = [send(one, 1, 1), send(other, 1, 1), send(one, 2, 2)]
    machine = Machine()
    machine.read(log_of(messages))
    assert machine.alarms(Alarm.TWO_STREAMS) == 2
    assert machine.applier.conflicts == {1: 2, 2: 1}
    assert dict(machine.store.rows) == one.rows | send_rows(other, 1)


def send_rows(stream: Stream, last: int) -> dict[tuple[int, int, int], int]:
    return {key: 1 for key in stream.rows if key[1] <= last}


def test_a_receiver_that_was_started_anew_is_no_alarm() -> None:
    one, other = a_stream(1, at_ms=[0, 1], ends=True), a_stream(2, at_ms=[2, 3])
    machine = Machine()
    machine.read(log_of([*cut(one), *cut(other)]))
    assert machine.alarms(Alarm.TWO_STREAMS) == 0


def test_another_topic_is_an_alarm_and_read_from_its_start_without_doubling() -> None:
    stream = a_stream(at_ms=[0, 1, 2, 3])
    machine = Machine()
    machine.read(log_of(cut(stream, frozenset({1, 2}))[:2]))
    again = log_of(cut(stream, frozenset({3})), topic_id="22222222-2222-2222-2222-222222222222")
    machine.process()
    machine.read(again)
    assert machine.alarms(Alarm.TOPIC_CHANGED) == 1
    assert dict(machine.store.rows) == stream.rows
    assert not machine.store.losses


def test_a_hint_outside_the_log_is_an_alarm_and_the_hole_a_named_gap() -> None:
    stream = a_stream(at_ms=[0, 1, 2, 3])
    sent = cut(stream, frozenset({1, 2, 3}))
    machine = Machine()
    machine.read(log_of(sent[:1]))
    machine.process()
    # Stopped for longer than the retention: the log begins behind the hint.
    machine.read(log_of(sent[2:], start=2), facts=[PartitionFacts(TOPIC_ID, 0, 2, 4)])
    assert machine.alarms(Alarm.POSITION_LOST) == 1
    assert [(row.first, row.last) for row in machine.store.losses] == [(2, 2)]


def test_without_metadata_everything_comes_back_from_the_store() -> None:
    stream = a_stream(at_ms=[0, 1, 61_000, HOUR_MS, HOUR_MS + 1])
    log = log_of(cut(stream))
    machine = Machine()
    machine.read(log[:-1])
    before = machine.applier.state.streams[1]
    machine.lose_metadata()
    machine.process()
    machine.applier.start(facts_of(log))
    found = machine.applier.state.streams[1]
    assert (found.known, found.minutes_until_ms) == (before.last, HOUR + 60_000)
    machine.read(log)
    assert dict(machine.store.rows) == stream.rows
    assert machine.applier.state.streams[1].minutes_until_ms == HOUR + HOUR_MS


def test_days_are_dropped_only_once_all_their_minutes_are_closed() -> None:
    old, living = a_stream(1, at_ms=[0, 1], ends=True), a_stream(2, at_ms=[2 * DAY_MS])
    machine = Machine()
    machine.read(log_of([*cut(old), *cut(living)]))
    days = RetentionSet(4, 4, 4)
    assert machine.applier.drop_old(HOUR + 3 * DAY_MS, days) == 0
    assert machine.applier.held.first_ms == HOUR
    machine.applier.drop_old(HOUR + 20 * DAY_MS, days)
    assert set(machine.store.rows) == set(living.rows)
    assert machine.applier.held.first_ms == HOUR + 2 * DAY_MS
    machine.store.check_closed()


def test_a_plan_changes_nothing_it_was_given() -> None:
    stream = a_stream(at_ms=[0, 1, 61_000])
    state = State()
    for batch in plan(state, log_of(cut(stream))).batches:
        moved = after(state, batch)
        assert moved.streams[1].last == 3
    assert state == State()


def test_a_database_on_disk_is_taken_up_again(tmp_path: Path) -> None:
    stream = a_stream(at_ms=[0, 1])
    log = log_of(cut(stream, frozenset({1})))
    machine = Machine(f"sqlite:///{tmp_path / 'metadata.db'}")
    machine.read(log[:1])
    machine.process()
    assert machine.applier.start(facts_of(log)) == {0: 1}

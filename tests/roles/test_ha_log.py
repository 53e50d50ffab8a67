"""Reading `ha.log` from its middle: the same state, every record once, and nothing kept of them."""

import weakref
from collections.abc import Iterator, Mapping, Sequence

import pytest

from services.central.roles.log_notes import LogNotes
from shared.ha_log import HELD_MAX, LOOK_BACK, RECORDS_MAX, HaLog, LogRemade, LogUnreadable
from shared.kafka import Brokers, KafkaAway, PartitionFacts, Reader
from shared.kafka import Record as KafkaRecord
from shared.roles.fold import START, Folded, RolesState, evolve
from shared.roles.records import Record, Snapshot, Tick, decode_record, encode_record
from shared.roles.snapshot import snapshot_of
from shared.topics import Topic
from tests.roles.histories import RolesLog, started

SNAPSHOTS = 10
APART = 1_000
BATCH = 700


class Counted(KafkaRecord):
    """One that knows whether somebody still has it."""

    __slots__ = ("__weakref__",)


class FakeReader(Reader):
    """Reads from memory. held_most: of its records at once, by whomever; places: began or sought.

    away_at: offsets at which no broker answers, once each.
    """

    def __init__(self, records: Mapping[int, tuple[bytes, int]]) -> None:
        super().__init__(Brokers("unused:1"), client_id="test", topic="ha.log")
        self.records = records
        self.away_at: set[int] = set()
        self.places: list[int] = []
        self.returned = 0
        self.held_most = 0
        self._held: weakref.WeakSet[Counted] = weakref.WeakSet()

    async def start(self, positions: Mapping[int, int]) -> None:
        self._positions = dict(positions)
        self.places.append(positions[0])

    async def stop(self) -> None: ...

    def seek(self, partition: int, offset: int) -> None:
        self._positions[partition] = offset
        self.places.append(offset)

    async def fetch(self, *, timeout_ms: int, records_max: int) -> list[KafkaRecord]:
        since = self._positions[0]
        read: list[KafkaRecord] = []
        for offset in range(since, min(since + min(BATCH, records_max), max(self.records) + 1)):
            if offset in self.away_at:
                if not read:
                    self.away_at.remove(offset)
                    raise KafkaAway("no broker answers")
                break
            value, append_ms = self.records[offset]
            read.append(one := Counted("ha.log", 0, offset, append_ms, None, value, ()))
            self._held.add(one)
        self._positions[0] += len(read)
        self.returned += len(read)
        self.held_most = max(self.held_most, len(self._held))
        return read


class Stored:
    """A log as Kafka has it: `log` from `start_offset` on."""

    def __init__(self, log: RolesLog, start_offset: int = 0) -> None:
        self.log = log
        self.facts = PartitionFacts("one", 0, start_offset, len(log.records))
        encoded = enumerate(ENCODED if log is LOG else _encoded(log))
        self.reader = FakeReader({at: each for at, each in encoded if at >= start_offset})

    @property
    def ha_log(self) -> HaLog:
        async def ask(_brokers: Brokers, _topic: str) -> PartitionFacts:
            return self.facts

        async def ensure(_brokers: Brokers, _topics: Sequence[Topic]) -> None: ...

        return HaLog(
            Brokers("unused:1"), client_id="test", reader=self.reader, ask=ask, ensure=ensure
        )


def long_log(snapshots: int = SNAPSHOTS, *, late: int = 3, tail: int = 400) -> RolesLog:
    """A log with snapshots, each of a state `late` records before its own place."""
    log = started("a", "b")
    for _ in range(snapshots):
        _fill(log, APART)
        snapshot = snapshot_of(log.state)
        _fill(log, late)
        log.append(snapshot)
    _fill(log, tail)
    return log


def _fill(log: RolesLog, count: int) -> None:
    for number in range(count):
        if number % 3:
            log.beat("ab"[number % 2])
        else:
            log.now_ms += 400
            log.append(Tick("r1"))


def first_snapshot(log: RolesLog) -> Snapshot:
    return next(_snapshots(record for record, _ in log.records))


def _snapshots(records: Iterator[Record]) -> Iterator[Snapshot]:
    return (record for record in records if isinstance(record, Snapshot))


def folded_by_hand() -> RolesState:
    """Fold all of `LOG` as it is stored."""
    state = START
    for offset, (value, append_ms) in enumerate(ENCODED):
        state = evolve(state, decode_record(value), offset=offset, append_ms=append_ms)
    return state


def _encoded(log: RolesLog) -> list[tuple[bytes, int]]:
    return [(encode_record(record), append_ms) for record, append_ms in log.records]


LOG = long_log()
ENCODED = _encoded(LOG)


async def test_who_wants_the_state_alone_folds_few_records_and_comes_to_the_same() -> None:
    stored = Stored(LOG)
    ha_log = stored.ha_log

    count = await ha_log.start()

    assert ha_log.state == folded_by_hand() == LOG.state
    assert 0 < count <= LOOK_BACK < len(LOG.records) // 4
    assert stored.reader.returned <= LOOK_BACK + BATCH


@pytest.mark.parametrize("start_offset", [0, 1], ids=["whole", "cut"])
async def test_who_wants_every_record_sees_each_once_and_keeps_none(start_offset: int) -> None:
    # Cut, the log begins behind the state of its first snapshot, as a primary leaves it.
    snapshot = first_snapshot(LOG)
    start_offset *= snapshot.offset + 1
    stored = Stored(LOG, start_offset)
    ha_log = stored.ha_log
    seen: list[int] = []

    def take(folded: Folded) -> None:
        seen.append(folded.offset)
        assert folded.before.offset == folded.offset - 1

    assert await ha_log.start(take) == len(seen)

    assert seen == list(range(start_offset, len(LOG.records)))
    assert ha_log.state == LOG.state
    assert stored.reader.held_most <= RECORDS_MAX + HELD_MAX
    assert stored.reader.held_most <= 2 * BATCH


async def test_who_keeps_all_is_seen_to() -> None:
    stored = Stored(LOG)
    await stored.reader.start({0: 0})
    kept: list[KafkaRecord] = []
    while len(kept) < len(LOG.records):
        kept += await stored.reader.fetch(timeout_ms=0, records_max=RECORDS_MAX)
    assert stored.reader.held_most == len(LOG.records)


async def test_a_decision_that_history_lacks_is_seen_by_who_reads_all_alone() -> None:
    notes = LogNotes()
    await Stored(LOG).ha_log.start(lambda folded: notes.take(folded, now_s=0.0))
    assert [each["is"] for each in notes.decisions] == ["config", "claim"]
    assert len(notes.snapshots) == SNAPSHOTS


@pytest.mark.parametrize("late", [0, HELD_MAX + 50], ids=["at once", "long after"])
async def test_a_snapshot_is_folded_on_from_its_state_wherever_it_stands(late: int) -> None:
    log = long_log(3, late=late)
    stored = Stored(log, first_snapshot(log).offset + 1)
    for take in (None, lambda folded: None):
        ha_log = stored.ha_log
        await ha_log.start(take)
        assert ha_log.state == log.state


async def test_where_no_snapshot_is_near_it_looks_farther_back() -> None:
    log = long_log(2, tail=3 * LOOK_BACK)
    cut, whole = Stored(log, first_snapshot(log).offset + 1), Stored(log)
    for stored in (cut, whole):
        ha_log = stored.ha_log
        await ha_log.start()
        assert ha_log.state == log.state
        assert len(stored.reader.places) == 2


async def test_without_a_snapshot_that_can_be_read_only_a_whole_log_is_read() -> None:
    bare = started("a", "b")
    _fill(bare, 3 * LOOK_BACK)
    whole = Stored(bare).ha_log
    await whole.start()
    assert whole.state == bare.state

    later = started("a", "b")
    _fill(later, APART)
    later.append(_of_later(later.state))
    _fill(later, APART)
    for take in (None, lambda folded: None):
        with pytest.raises(LogUnreadable, match="no snapshot"):
            await Stored(bare, 5).ha_log.start(take)
        with pytest.raises(LogUnreadable, match="no snapshot"):
            await Stored(later, 5).ha_log.start(take)


def _of_later(state: RolesState) -> Snapshot:
    snapshot = snapshot_of(state)
    return Snapshot(snapshot.offset, snapshot.fold_version + 1, snapshot.state)


async def test_a_snapshot_of_another_log_is_none() -> None:
    log = started("a", "b")
    _fill(log, LOOK_BACK)
    other = snapshot_of(LOG.state)
    assert other.offset > len(log.records)
    log.append(other)
    ha_log = Stored(log).ha_log
    await ha_log.start()
    assert ha_log.state == log.state


async def test_where_a_broker_was_away_it_goes_on_and_nothing_comes_twice() -> None:
    stored = Stored(LOG)
    stored.reader.away_at = {0, 1, 3_000, 3_001, len(LOG.records) - 1}
    ha_log, seen, away = stored.ha_log, list[int](), 0
    while True:
        try:
            await ha_log.start(lambda folded: seen.append(folded.offset))
            break
        except KafkaAway:
            away += 1
    assert away == 5
    assert seen == list(range(len(LOG.records)))
    assert ha_log.state == LOG.state


async def test_what_broke_off_in_another_log_begins_anew() -> None:
    stored = Stored(LOG)
    stored.reader.away_at = {3_000}
    ha_log, seen = stored.ha_log, list[int]()
    with pytest.raises(KafkaAway):
        await ha_log.start(lambda folded: seen.append(folded.offset))

    stored.facts = PartitionFacts("another", 0, 0, len(LOG.records))
    with pytest.raises(LogRemade):
        await ha_log.start(lambda folded: seen.append(folded.offset))
    seen.clear()
    await ha_log.start(lambda folded: seen.append(folded.offset))
    assert seen == list(range(len(LOG.records)))

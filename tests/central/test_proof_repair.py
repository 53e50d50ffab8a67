"""A row changed by hand in the store: found, named, and mended whatever the repair is killed at."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Engine

from services.central.applier import Applier
from services.central.messages import Message
from services.central.metadata.database import migrate, open_database
from services.central.metadata.hints import Hints
from services.central.metadata.repairs import KEPT, REPAIRS_MAX, Repair, Repairs
from services.central.metrics import CentralMetrics
from services.central.proof.api import SINCE_MAX
from services.central.proof.checking import check_periods, closed_records
from services.central.proof.choosing import RepairRefused
from services.central.proof.ledger import Ledger
from services.central.proof.log_minute import LogMinute
from services.central.proof.repair_queue import RepairQueue
from services.central.proof.repairing import Repairer, RepairFailed
from services.central.store import FlowStore
from services.central.store.rollups import Level
from shared.digest_records import HOUR, MINUTE, Gone, Passed, Period, PeriodDigest
from shared.health import Health
from tests.central.stream_messages import HOUR as HOUR_AT_MS
from tests.central.stream_messages import a_stream, cut, facts_of, log_of
from tests.draws import some

MINUTE_MS = 60_000
NOW_MS = HOUR_AT_MS + 7_200_000
EXPORTER = "0.0.0.1"
STREAM = a_stream(at_ms=range(0, 5 * MINUTE_MS, 10_000), ends=True)
LOG = log_of(cut(STREAM, frozenset({3, 9, 14})))
PERIOD = Period(1, MINUTE, HOUR_AT_MS + MINUTE_MS)
WHOLE_HOUR = Period(1, HOUR, HOUR_AT_MS)
STEPS = ("read", "delete", "insert", "look", "close")


Result = TypeVar("Result")


class Killed(Exception):
    """What a `kill -9` is here."""


class World:
    """One central's store and database, a log, and what was said on topic `digests`."""

    def __init__(self, store: FlowStore, database: Engine, log: Sequence[Message] = LOG) -> None:
        self.store = store
        self.database = database
        self.log = log
        self.metrics = CentralMetrics()
        self.ledger = Ledger("central-b")
        self.applier = self.begin()
        self.applier.start(facts_of(log))
        self.applier.apply(log)
        for level in Level:
            for record in self.closed(level):
                self.ledger.take(record)

    def begin(self) -> Applier:
        """Begin as a new process does."""
        hints = Hints(self.database, "flows")
        applier = Applier(self.store, hints, metrics=self.metrics, health=Health())
        applier.load()
        return applier

    def closed(self, level: Level) -> list[PeriodDigest]:
        end_ms = HOUR_AT_MS + 3_600_000
        return closed_records(self.store.proof, "central-b", level, 1, HOUR_AT_MS, end_ms)

    def content(self) -> list[object]:
        """Return all that the digests say of the store."""
        rows = self.store.query_arrow("SELECT count() AS n FROM flows", {}).to_pydict()["n"]
        raw = self.store.proof.raw(1, HOUR_AT_MS, HOUR_AT_MS + 3_600_000)
        return [rows, dict(raw), self.closed(Level.MINUTE), self.closed(Level.HOUR)]

    def scrub(self) -> None:
        """Compare every period with what was said of it, as the scrub does."""
        expected = list(self.ledger.own.values())
        for period, found in check_periods(self.store.proof, 1, expected, raw_from_ms=0).items():
            self.ledger.take(replace(self.ledger.own[period], found=found))

    def change(self, statement: str) -> None:
        self.store._work.command(statement, {}, {"mutations_sync": 2})

    def repairer(self, before_step: Callable[[str], None] = lambda step: None) -> Repairer:
        async def at_once(work: Callable[[], Result]) -> Result:
            return work()

        async def read_minute(period: Period, _partition: int) -> LogMinute:
            found = LogMinute(period)
            for message in self.log:
                found.take(message)
            if not found.is_whole:
                found.refusal = "Kafka no longer holds it"
            return found

        return Repairer(
            self.store,
            central="central-b",
            in_proof_thread=at_once,
            between_steps=at_once,
            read_minute=read_minute,
            progress=lambda stream: self.applier.state.streams.get(stream),
            records=lambda period: [
                record
                for central in ("central-a", "central-b")
                if (record := self.ledger.record_of(central, period)) is not None
            ],
            before_step=before_step,
        )

    def queue(self, before_step: Callable[[str], None] = lambda step: None) -> RepairQueue:
        async def read_to(_offset: int) -> None:
            """Nothing lies between what is sent and what is read."""

        return RepairQueue(
            Repairs(self.database),
            self.repairer(before_step),
            self,  # type: ignore[arg-type]  # `send` is all that it needs of a Sender
            read_to=read_to,
            now_ms=lambda: NOW_MS,
            metrics=self.metrics,
        )

    async def send(self, records: Sequence[PeriodDigest | Passed | Gone]) -> int:
        for record in records:
            self.ledger.take(record)
        return 0


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    opened = open_database(f"sqlite:///{tmp_path / 'metadata.db'}")
    migrate(opened)
    yield opened
    opened.dispose()


@pytest.fixture
def world(store: FlowStore, database: Engine) -> World:
    return World(store, database)


async def finish(queue: RepairQueue) -> None:
    """Run the queue until nothing waits."""
    task = asyncio.create_task(queue.run())
    async with asyncio.timeout(60):
        while queue.periods and not task.done():
            await asyncio.sleep(0.01)
    if task.done():
        await task
    task.cancel()
    await asyncio.wait([task])


ROW = "WHERE datagram = 8"
MINUTE_ROWS = "WHERE level = 0 AND toUnixTimestamp(starts_at) = 1700002860"
CHANGES = {
    "a value": f"ALTER TABLE flows UPDATE bytes = bytes + 1 {ROW}",
    "a row deleted": f"ALTER TABLE flows DELETE {ROW}",
    "a row doubled": f"INSERT INTO flows SELECT * FROM flows {ROW}",
    "a column no report shows": f"ALTER TABLE flows UPDATE src_mac = 7 {ROW}",
    "an exporter's sum": f"ALTER TABLE rollups UPDATE packets = 0 {MINUTE_ROWS} AND grouping = 1",
    "an interface's sum": f"ALTER TABLE rollups UPDATE bytes = 9 {MINUTE_ROWS} AND grouping = 2",
    "an interface": f"ALTER TABLE rollups UPDATE in_if = 9 {MINUTE_ROWS} AND grouping = 2",
    "the marker": f"ALTER TABLE rollups UPDATE digest = 1 {MINUTE_ROWS} AND grouping = 0",
    "a minute's roll-ups": f"ALTER TABLE rollups DELETE {MINUTE_ROWS}",
    "an hour's sum": "ALTER TABLE rollups UPDATE flows = 1 WHERE level = 1 AND grouping = 5",
}
NOT_NAMED = ("an interface", "the marker", "a minute's roll-ups")


@pytest.mark.parametrize("what", CHANGES)
async def test_whatever_is_changed_is_found_named_and_mended(world: World, what: str) -> None:
    before = world.content()
    world.scrub()
    assert world.ledger.differences() == []
    world.change(CHANGES[what])
    world.scrub()
    (difference,) = world.ledger.differences()
    assert difference.period == (WHOLE_HOUR if "hour" in what else PERIOD)
    assert difference.wrong == ("central-b",)
    assert difference.exporters == (() if what in NOT_NAMED else (EXPORTER,))

    queue = world.queue()
    await queue.note([difference.period])
    await finish(queue)
    assert world.ledger.differences() == []
    world.scrub()
    assert world.ledger.differences() == []
    assert world.content() == before


@pytest.mark.parametrize(
    ("what", "step"),
    [
        *(("a value", step) for step in some(STEPS, 2, "steps of a repair")),
        ("a minute's roll-ups", "close"),
    ],
)
async def test_a_repair_killed_before_any_step_goes_on(world: World, what: str, step: str) -> None:
    before, positions = world.content(), world.applier.positions
    world.change(CHANGES[what])
    world.scrub()

    def dies(now: str) -> None:
        if now == step:
            raise Killed(step)

    queue = world.queue(dies)
    await queue.note([PERIOD])
    with pytest.raises(Killed):
        await finish(queue)
    world.applier = world.begin()
    world.applier.start(facts_of(LOG))
    assert world.applier.positions == positions
    await finish(world.queue())
    world.scrub()
    assert world.ledger.differences() == []
    assert world.content() == before
    (done, *_) = Repairs(world.database).newest(5)
    assert done.finished_ms == NOW_MS


@pytest.mark.parametrize("call", ["delete_raw", "insert_flows", "delete_rollups", "close_minute"])
async def test_killed_just_behind_a_statement_it_goes_on_too(
    world: World, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = world.content()
    world.change(CHANGES["a value"])
    owner = world.store.proof if call == "delete_raw" else world.store
    real = getattr(owner, call)

    def dies_behind(*values: object, **named: object) -> None:
        real(*values, **named)
        raise Killed(call)

    queue = world.queue()
    await queue.note([PERIOD])
    with monkeypatch.context() as patched:
        patched.setattr(owner, call, dies_behind)
        with pytest.raises(Killed):
            await finish(queue)
    world.applier = world.begin()
    assert world.queue().periods == [PERIOD]
    await finish(world.queue())
    assert world.content() == before


async def test_under_its_old_number_a_repair_loses_its_rows_in_silence(world: World) -> None:
    world.change(CHANGES["a value"])
    repair = Repair(1, PERIOD, NOW_MS)

    def dies(step: str) -> None:
        if step == "close":
            # Of the rows that went in under number 1, one is changed again.
            world.change(CHANGES["a value"])
            raise Killed(step)

    with pytest.raises(Killed):
        await world.repairer(dies).run(repair)
    with pytest.raises(RepairFailed, match="0 rows are in where the log has 12"):
        await world.repairer().run(repair)
    await world.repairer().run(replace(repair, number=2))
    assert world.closed(Level.MINUTE)[1].raw.flows == 12


async def test_two_minutes_of_one_hour_are_mended(world: World) -> None:
    before = world.content()
    world.change("ALTER TABLE flows UPDATE bytes = 0 WHERE datagram IN (8, 14)")
    world.scrub()
    assert len(world.ledger.differences()) == 2
    queue = world.queue()
    await queue.note([each.period for each in world.ledger.differences()])
    await finish(queue)
    assert world.content() == before


async def test_without_the_log_wrong_rows_stay_and_right_ones_are_rolled_up(world: World) -> None:
    world.log = world.log[-1:]
    world.change(CHANGES["a value"])
    changed = world.content()
    with pytest.raises(RepairRefused, match="no longer holds it, and the rows here are not known"):
        await world.repairer().run(Repair(1, PERIOD, NOW_MS))
    assert world.content() == changed
    world.change(
        CHANGES["an exporter's sum"].replace("starts_at) = 1700002860", "starts_at) = 1700002800")
    )
    first = Period(1, MINUTE, HOUR_AT_MS)
    world.scrub()
    assert world.ledger.own[first].found is not None
    done = await world.repairer().run(Repair(2, first, NOW_MS))
    assert done.outcome == "rolled up again from the rows that are here"
    await world.send(done.records)
    world.scrub()
    assert world.ledger.own[first].found is None


async def test_rows_that_another_central_disputes_are_not_right_by_themselves(world: World) -> None:
    world.log = world.log[-1:]
    mine = world.ledger.own[PERIOD]
    other = replace(mine, central="central-a", raw=mine.raw._replace(digest=1))
    world.ledger.take(other)
    with pytest.raises(RepairRefused):
        await world.repairer().run(Repair(1, PERIOD, NOW_MS))
    world.ledger.take(replace(other, raw=mine.raw))
    await world.repairer().run(Repair(2, PERIOD, NOW_MS))


async def test_the_side_that_holds_what_the_log_holds_shows_the_other_wrong(world: World) -> None:
    mine = world.ledger.own[PERIOD]
    world.ledger.take(replace(mine, central="central-a", raw=mine.raw._replace(digest=1)))
    (difference,) = world.ledger.differences()
    assert difference.wrong == ()
    queue = world.queue()
    await queue.note([PERIOD])
    await finish(queue)
    (difference,) = world.ledger.differences()
    assert difference.wrong == ("central-a",)
    assert Repairs(world.database).newest(1)[0].outcome.startswith("held what the log holds")


async def test_a_minute_that_the_log_has_not_is_taken_away(world: World) -> None:
    world.change(
        "INSERT INTO flows (received_at, stream, datagram, exporter, collector) "
        f"SELECT toDateTime64({(HOUR_AT_MS + 9 * MINUTE_MS) // 1000}, 3, 'UTC'), 1, 2, "
        "toIPv6('::ffff:0.0.0.1'), 'c/0'"
    )
    surplus = Period(1, MINUTE, HOUR_AT_MS + 9 * MINUTE_MS)
    world.store.close_minute(1, surplus.starts_ms)
    await world.send([each for each in world.closed(Level.MINUTE) if each.period == surplus])
    queue = world.queue()
    await queue.note([surplus])
    await finish(queue)
    assert surplus not in world.ledger.own
    assert surplus.starts_ms not in world.store.proof.raw(1, HOUR_AT_MS, NOW_MS)


async def test_what_is_open_or_unknown_is_refused(world: World) -> None:
    with pytest.raises(RepairRefused, match="knows nothing"):
        await world.repairer().run(Repair(1, Period(9, MINUTE, HOUR_AT_MS), NOW_MS))
    state = world.applier.state.streams[1]
    open_still = replace(state, ended=False, minutes_until_ms=PERIOD.starts_ms)
    world.applier._state = replace(world.applier.state, streams={1: open_still})
    with pytest.raises(RepairRefused, match="not closed yet"):
        await world.repairer().run(Repair(1, PERIOD, NOW_MS))


def test_repairs_are_numbered_for_ever_and_noted_once(database: Engine) -> None:
    repairs = Repairs(database, kept=20)
    first, second = repairs.note([PERIOD, WHOLE_HOUR], NOW_MS)
    assert (first.number, second.number) == (1, 2)
    assert repairs.note([PERIOD], NOW_MS) == []
    again = repairs.begin_again(first)
    assert again.number == 3
    repairs.finish(again, "done", NOW_MS)
    assert repairs.unfinished() == [second]
    for number in range(4, 34):
        (one,) = repairs.note([PERIOD], NOW_MS)
        assert one.number == number
        repairs.finish(one, "x" * 400, NOW_MS)
    assert repairs.unfinished() == [second]
    assert len(repairs.newest(999)) <= 22
    assert [each.number for each in repairs.newest(2)] == [33, 32]
    assert [each.number for each in repairs.newest(999, since=32)] == [33, 32]


def test_how_each_of_one_request_ended_is_told_for_as_long_as_it_goes_on(database: Engine) -> None:
    repairs = Repairs(database)
    periods = [Period(1, MINUTE, HOUR_AT_MS + number * 60_000) for number in range(300)]
    noted = repairs.note(periods, NOW_MS)
    for each in noted:
        repairs.finish(each, "done", NOW_MS)
    told = repairs.newest(SINCE_MAX, since=noted[0].number)
    assert {each.period for each in told if each.finished_ms} == set(periods)
    assert SINCE_MAX >= KEPT >= REPAIRS_MAX

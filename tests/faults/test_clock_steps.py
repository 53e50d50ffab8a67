"""The collector's clock is stepped: receiver, spool, decoder, store, on a clock moved by hand."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.central.applier import Applier
from services.central.messages import MINUTE_MS, Message, Place, examine
from services.central.metadata.database import open_database
from services.central.metadata.hints import Hints
from services.central.metadata.models import Base
from services.central.metrics import CentralMetrics
from services.central.store import FlowStore
from services.ingest.decode.decoding import DecoderState
from services.ingest.publish.journal import JournalState
from services.ingest.publish.tail import SpoolTail
from services.ingest.receive import clock as stream_clock
from services.ingest.receive.clock import StreamClock
from shared.health import Health
from shared.kafka import PartitionFacts
from tests.central.flow_values import ask
from tests.ingest.receivers import Bench, bench
from tests.ingest.spools import v9_flows, v9_template

HOUR_MS = 60 * MINUTE_MS
TOPIC_ID = "11111111-1111-1111-1111-111111111111"
SENT_EACH = 8
FLOWS_EACH = 5
MARKER = 0
"""Grouping of the rows that sum up a stream's whole period."""

STEPS = {
    "back an hour": [-HOUR_MS],
    "forward and back": [HOUR_MS, -HOUR_MS],
    "back and forward": [-HOUR_MS, HOUR_MS],
    "forward over midnight, then back in two": [20 * HOUR_MS, -HOUR_MS, -19 * HOUR_MS],
}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path / "spool") as made:
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FlowStore]:
    opened = FlowStore.open(str(tmp_path / "store"))
    opened.migrate()
    yield opened
    opened.close()


def receive(site: Bench, steps: list[int]) -> Counter[int]:
    """Receive for four minutes before and after each step; the flows by minute of the clock."""
    receiver = site.receiver()
    by_minute: Counter[int] = Counter()
    site.send(v9_template())
    receiver.turn(0)
    seed = 0
    for step_ms in [0, *steps]:
        site.clock.step_ms(step_ms)
        for _ in range(SENT_EACH):
            site.clock.pass_ms(30_000)
            seed += 1
            site.send(v9_flows(FLOWS_EACH, seed=seed))
            receiver.turn(0)
            by_minute[site.clock.wall_ms // MINUTE_MS * MINUTE_MS] += FLOWS_EACH
    receiver.stop()
    return by_minute


def messages(directory: Path, *, append_ms: int) -> list[Message]:
    """Return all that a decoder makes of the spool, as a central reads it."""
    tail = SpoolTail(directory, JournalState(), DecoderState(), collector="test/0")
    found: list[Message] = []
    while (made := tail.next_message(flush=True)) is not None:
        place = Place(TOPIC_ID, 0, len(found), append_ms)
        found.append(examine(place, made.headers, made.value))
    tail.close()
    return found


def apply(store: FlowStore, log: list[Message]) -> None:
    """Apply a log, and all of it again by a process that lost its metadata."""
    for _ in range(2):
        database = open_database("sqlite://")
        Base.metadata.create_all(database)
        metrics = CentralMetrics()
        applier = Applier(store, Hints(database, "flows"), metrics=metrics, health=Health())
        applier.start([PartitionFacts(TOPIC_ID, 0, 0, len(log))])
        assert applier.apply(log) == ""
        assert all(progress.ended for progress in applier.state.streams.values())
        database.dispose()


def rows_by_minute(store: FlowStore) -> dict[int, int]:
    sql = (
        "SELECT toUnixTimestamp(toStartOfMinute(received_at)) * 1000 AS at, count() "
        "FROM flows GROUP BY at"
    )
    return {int(str(at)): int(str(rows)) for at, rows in ask(store, sql)}


def rolled_up(store: FlowStore, level: int) -> int:
    sql = f"SELECT sum(flows) FROM rollups WHERE level = {level} AND grouping = {MARKER}"
    return int(str(ask(store, sql)[0][0]))


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS.keys())
def test_every_flow_is_in_once_at_the_time_the_clock_showed(
    site: Bench, store: FlowStore, steps: list[int]
) -> None:
    sent = receive(site, steps)
    log = messages(site.directory, append_ms=site.clock.wall_ms)

    apply(store, log)

    assert rows_by_minute(store) == sent
    assert rolled_up(store, 0) == rolled_up(store, 1) == sum(sent.values())
    assert len(ask(store, "SELECT DISTINCT stream FROM flows")) == len(steps) + 1
    assert ask(store, "SELECT count() FROM losses") == [(0,)]


def test_a_clock_that_is_only_held_puts_all_that_follows_on_one_instant(
    site: Bench, store: FlowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: what a plain maximum makes of an hour's step back."""

    def hold(clock: StreamClock, wall_ms: int, monotonic_ms: int) -> StreamClock:
        return StreamClock(wall_ms, monotonic_ms, max(wall_ms, clock.received_at_ms))

    monkeypatch.setattr(stream_clock, "advance", hold)
    sent = receive(site, [-HOUR_MS])

    apply(store, messages(site.directory, append_ms=site.clock.wall_ms))

    found = rows_by_minute(store)
    assert sum(found.values()) == sum(sent.values())
    assert max(found.values()) >= SENT_EACH * FLOWS_EACH
    assert found != sent

"""The projection loop: reads `flows` from the positions and has every message applied.

Kafka is read in the event loop; whatever touches the store runs in one thread of its own.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeVar

from services.central.applier import Applier
from services.central.lag import Behind, Lag
from services.central.messages import Message, Place, Verdict, examine
from services.central.metrics import CentralMetrics
from shared.backoff import waits
from shared.health import Health
from shared.kafka import (
    Brokers,
    KafkaAway,
    Looks,
    PartitionFacts,
    PositionLost,
    Reader,
    Record,
    TopicRefused,
    ensure_topics,
)
from shared.settings_events import RetentionSet
from shared.tasks import end_task
from shared.topics import Topic

log = logging.getLogger(__name__)

Result = TypeVar("Result")
RECORDS_MAX = 64
"""Messages taken at once: at most some 60 MB, and 64 x 40,000 rows are cut into few inserts."""
FETCH_MS = 500
FACTS_EVERY_S = 5.0
FORCE_EVERY_S = 60.0
DROP_EVERY_S = 3600.0


class _Again(Exception):
    """The log is another one, or has more partitions: begin again from the positions."""


class _Look(NamedTuple):
    """The log as somebody found it. positions: what was to be applied next when it was asked for.

    asked_ms: UTC; the partitions ended no earlier than that.
    """

    facts: Sequence[PartitionFacts]
    positions: Mapping[int, int]
    asked_ms: int


class Projection:
    """Follows one topic until cancelled. Only `run` may be called, once."""

    def __init__(
        self,
        applier: Applier,
        *,
        brokers: Brokers,
        looks: Looks,
        topic: Topic,
        client_id: str,
        metrics: CentralMetrics,
        health: Health,
        now_ms: Callable[[], int],
        monotonic_s: Callable[[], float],
        retention: Callable[[], RetentionSet | None],
        when_old: Callable[[str], None] | None = None,
    ) -> None:
        """Build without connecting.

        now_ms: wall clock, UTC; retention: what holds now, None until that is known. when_old: told
        in a sentence that the log has no longer what is to be read next, and with nothing that it
        has; this then stands still. Without it that is an alarm, and a gap.
        """
        self._applier = applier
        self._brokers = brokers
        self._looks = looks
        self._topic = topic
        self._metrics = metrics
        self._health = health
        self._now_ms = now_ms
        self._monotonic_s = monotonic_s
        self._retention = retention
        self._when_old = when_old
        self._reader = Reader(brokers, client_id=client_id, topic=topic.name)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="applier")
        self._facts: dict[int, PartitionFacts] = {}
        self._lag = Lag()
        self._moved = asyncio.Condition()
        self._step_since_s: float | None = None
        self._pauses = waits()
        self._due_s = {"facts": 0.0, "force": 0.0, "drop": 0.0}
        self._looking: asyncio.Task[_Look] | None = None

    @property
    def topic(self) -> str:
        """Name of the topic it follows."""
        return self._topic.name

    @property
    def end_offsets(self) -> dict[int, int]:
        """End of each partition when it was last looked up, some seconds ago."""
        return {number: fact.end_offset for number, fact in self._facts.items()}

    def lag(self) -> Behind | None:
        """Return how far this is behind the log's end as it was looked up last; None: unknown."""
        return self._lag.all(self._applier.positions, self._now_ms())

    @property
    def step_s(self) -> float:
        """For how long store or database have been at the step in hand; 0 while there is none."""
        since_s = self._step_since_s
        return 0.0 if since_s is None else self._monotonic_s() - since_s

    async def reached(self, ends: Mapping[int, int]) -> None:
        """Return once every message before `ends`, by partition, is applied."""
        async with self._moved:
            await self._moved.wait_for(
                lambda: all(
                    self._applier.positions.get(number, 0) >= end for number, end in ends.items()
                )
            )

    async def between_steps(self, work: Callable[[], Result]) -> Result:
        """Run `work` in the thread of inserts and closings, between two steps of the projection."""
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._thread, work))

    async def run(self) -> None:
        """Follow the topic until cancelled; ends by an exception only where the fault is ours."""
        try:
            while True:
                try:
                    await self._follow()
                except _Again:
                    continue
                except (KafkaAway, PositionLost, TopicRefused) as error:
                    self._health.unmet("kafka", str(error)[:300])
                    self._metrics.kafka_away.inc()
                    log.warning("kafka away, tried again error=%s", error)
                    self._health.turned("projection")
                    await asyncio.sleep(next(self._pauses))
        finally:
            self._applier.stop()
            await self._look_no_more()
            await self._reader.stop()
            # The step in hand ends first: the store must not be closed under it.
            await asyncio.shield(asyncio.to_thread(self._thread.shutdown))

    async def _follow(self) -> None:
        await self._look_no_more()
        await ensure_topics(self._brokers, [self._topic])
        look = await self._look()
        facts = look.facts
        if not facts:
            raise KafkaAway(f"there is no topic {self._topic.name}")
        self._note(look)
        if self._when_old is not None:
            old = await self._in_thread(partial(self._applier.too_old, facts))
            await self._in_thread(partial(self._when_old, old))
            if old:
                await self._stand_still(old)
        positions = await self._in_thread(partial(self._applier.start, facts))
        await self._reader.stop()
        await self._reader.start(positions)
        await self._tell_moved()
        self._health.met("kafka")
        self._pauses = waits()
        log.info("projection starts positions=%s", positions)
        while True:
            self._health.turned("projection")
            records = await self._reader.fetch(timeout_ms=FETCH_MS, records_max=RECORDS_MAX)
            self._health.met("kafka")
            if records:
                await self._apply(records)
            await self._look_after()

    async def _apply(self, records: Sequence[Record]) -> None:
        ids = {number: fact.topic_id for number, fact in self._facts.items()}

        messages = await self._in_thread(
            lambda: [_examine(record, ids[record.partition]) for record in records]
        )
        planned = await self._in_thread(partial(self._applier.plan, messages))
        if planned.has_gaps or any(message.verdict is Verdict.STRAY for message in messages):
            # A topic made again shows the offsets of the old one with other messages.
            self._check(await self._look())
        stop = await self._in_thread(partial(self._applier.apply, messages, planned))
        if stop:
            await self._stopped(stop)
        for record in records:
            self._lag.applied(record.partition, record.offset + 1, record.timestamp_ms)
        await self._tell_moved()
        self._measure()

    async def _tell_moved(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    async def _look_after(self) -> None:
        """Do what is due: look at the log, close by force, drop old days."""
        if self._looking is None and self._is_due("facts", FACTS_EVERY_S):
            # Where a broker is silent this takes seconds, and whoever takes over waits for flows.
            self._looking = asyncio.create_task(self._look())
        if self._looking is not None and self._looking.done():
            found, self._looking = self._looking, None
            self._check(found.result())
            self._measure()
        if self._is_due("force", FORCE_EVERY_S):
            positions = self._applier.positions
            at_end = frozenset(
                number
                for number, fact in self._facts.items()
                if positions.get(number, 0) >= fact.end_offset
            )
            work = partial(self._applier.force_close, self._now_ms(), read_to_end=at_end)
            await self._in_thread(work)
        retention = self._retention()
        if retention is not None and self._is_due("drop", DROP_EVERY_S):
            work = partial(self._applier.drop_old, self._now_ms(), retention)
            await self._in_thread(work)

    async def _look(self) -> _Look:
        """Look at the log. Raises KafkaAway."""
        positions, asked_ms = dict(self._applier.positions), self._now_ms()
        facts = await self._looks.facts(self._topic.name)
        return _Look(facts, positions, asked_ms)

    async def _look_no_more(self) -> None:
        looking, self._looking = self._looking, None
        if looking is not None:
            await end_task(looking)
            if not looking.cancelled():
                # Whatever it found, or not, is of no use any more.
                looking.exception()

    def _check(self, look: _Look) -> None:
        """Compare the log with where we read; raises _Again when it is not the same any more."""
        known = {number: fact.topic_id for number, fact in self._facts.items()}
        is_same = {fact.partition: fact.topic_id for fact in look.facts} == known
        if not is_same or any(
            look.positions.get(fact.partition, 0) > fact.end_offset for fact in look.facts
        ):
            log.error("the log of %s is another one, begin again", self._topic.name)
            raise _Again
        self._note(look)

    def _note(self, look: _Look) -> None:
        self._facts = {fact.partition: fact for fact in look.facts}
        self._lag.looked(self.end_offsets, self._applier.positions, look.asked_ms)
        for number in self._facts:
            self._metrics.lag_s.labels(number).set_function(partial(self._lag_s, number))

    def _lag_s(self, partition: int) -> float:
        position = self._applier.positions.get(partition, 0)
        lag_s = self._lag.of(partition, position, self._now_ms()).lag_s
        return math.nan if lag_s is None else lag_s

    def _measure(self) -> None:
        behind = 0
        for number, position in self._applier.positions.items():
            # The end was looked up some seconds ago: it may be below the position.
            lag = max(0, self._facts[number].end_offset - position)
            behind += lag
            self._metrics.next_offset.labels(number).set(position)
            self._metrics.lag_records.labels(number).set(lag)
        if not behind:
            self._health.met("caught up")

    async def _stopped(self, why: str) -> None:
        """Stand still at a message of a newer release, and keep answering reports."""
        self._health.unmet("schema", why)
        await self._stand_still(why)

    async def _stand_still(self, why: str) -> None:
        log.error("projection stops: %s", why)
        await self._reader.stop()
        while True:
            self._health.turned("projection")
            await asyncio.sleep(FETCH_MS / 1000)

    def _is_due(self, what: str, every_s: float) -> bool:
        now_s = self._monotonic_s()
        if now_s < self._due_s[what]:
            return False
        self._due_s[what] = now_s + every_s
        return True

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        self._step_since_s = self._monotonic_s()
        try:
            # Shielded: a cancelled wait must not look like the end of the step in hand.
            return await asyncio.shield(
                asyncio.get_running_loop().run_in_executor(self._thread, work)
            )
        finally:
            self._step_since_s = None


def _examine(record: Record, topic_id: str) -> Message:
    place = Place(topic_id, record.partition, record.offset, record.timestamp_ms)
    return examine(place, record.headers, record.value)

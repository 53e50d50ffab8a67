"""The live rates of one central: reads `rates`, feeds the Faust app, answers with snapshots.

Nothing here may harm the projection: whatever goes wrong is counted, said and tried again.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from services.central.live.messages import RatesError, read_rates
from services.central.live.metrics import LiveMetrics
from services.central.live.windows import (
    KEPT_S,
    RATES_MAX,
    WINDOWS_S,
    LiveSnapshot,
    State,
    Windows,
)
from shared.backoff import waits
from shared.health import Health
from shared.kafka import (
    Brokers,
    KafkaAway,
    PartitionFacts,
    PositionLost,
    Reader,
    Record,
    TopicRefused,
    ensure_topics,
    offsets_since,
    partition_facts,
)
from shared.topics import Topic

if TYPE_CHECKING:
    from services.central.live.faust_app import FaustApp

log = logging.getLogger(__name__)

SETTLE_MS: Final = 2_000
"""Windows end so long ago: by then a datagram has come through spool, decoder and log."""
STALE_S: Final = 6.0
"""Not "live" any more when the log was not read to its end for so long."""
RECORDS_MAX: Final = 64
FETCH_MS: Final = 200
FACTS_EVERY_S: Final = 1.0
FORGET_EVERY_S: Final = 1.0
CONDITION: Final = "live"


class _Again(Exception):
    """The log is another one, or lost the position: begin again from the last minutes."""


@dataclass(slots=True)
class _Barrier:
    """Ends of the partitions as of a moment: once read, all that stood there then is in."""

    at_s: float
    at_ms: int
    ends: Mapping[int, int]


@dataclass(slots=True)
class _Progress:
    """read: next offset of each partition that the app has not seen. at_s: monotonic."""

    read: dict[int, int] = field(default_factory=dict)
    barrier: _Barrier | None = None
    whole_at_s: float | None = None
    whole_at_ms: int = 0
    answered_at_s: float | None = None


class LiveView:
    """Live rates in memory. `run` follows the log until cancelled; the rest may be called any time.

    Everything happens in one event loop. warmed: what takes the processor for seconds is done.
    """

    def __init__(
        self,
        *,
        app_id: str,
        brokers: Brokers,
        topic: Topic,
        metrics: LiveMetrics,
        health: Health,
        now_ms: Callable[[], int],
        monotonic_s: Callable[[], float],
        windows: Windows | None = None,
        rebuilds: bool = True,
        before_batch: Callable[[], None] = lambda: None,
    ) -> None:
        """Build without connecting.

        app_id: unique per central. now_ms: wall clock, UTC. rebuilds: False begins at the log's
        end; only a negative control wants that. before_batch: tests let the app crash in it.
        """
        self.windows = windows or Windows()
        self._app_id = app_id
        self._brokers = brokers
        self._topic = topic
        self._metrics = metrics
        self._health = health
        self._now_ms = now_ms
        self._monotonic_s = monotonic_s
        self._rebuilds = rebuilds
        self._before_batch = before_batch
        self._reader = Reader(brokers, client_id=app_id, topic=topic.name)
        self._progress = _Progress()
        self._topic_id = ""
        self._pauses = waits(first_s=0.5, longest_s=10.0)
        self._due_s = {"facts": 0.0, "forget": 0.0}
        self._last: LiveSnapshot | None = None
        self.warmed = asyncio.Event()

    @property
    def state(self) -> State:
        """Whether the windows hold what stands in the log: see `snapshot`."""
        progress, now_s = self._progress, self._monotonic_s()
        if progress.answered_at_s is None or now_s - progress.answered_at_s > STALE_S:
            return "away"
        if progress.whole_at_s is None or now_s - progress.whole_at_s > STALE_S:
            return "catching up"
        return "live"

    @property
    def lag_s(self) -> float | None:
        """How long ago everything that stood in the log was in the windows; None: never yet."""
        whole_at_s = self._progress.whole_at_s
        return None if whole_at_s is None else self._monotonic_s() - whole_at_s

    def snapshot(
        self,
        *,
        at_ms: int | None = None,
        exporter: bytes | None = None,
        interface: int | None = None,
        windows_s: Sequence[int] = WINDOWS_S,
        limit: int = RATES_MAX,
    ) -> LiveSnapshot:
        """Return the rates as they are now; without arguments the same ones for a second.

        They never go on beyond the moment at which everything that stood in the log was in. at_ms:
        an instant of the last minute instead, UTC. The rest: as of `Windows.rates`.
        """
        as_of_ms = self._as_of_ms() if at_ms is None else at_ms // 1000 * 1000
        is_plain = at_ms is None and exporter is None and interface is None
        is_plain = is_plain and tuple(windows_s) == WINDOWS_S and limit == RATES_MAX
        state, lag_s, newest_ms = self.state, self.lag_s, self.windows.newest_ms
        last = self._last
        if is_plain and last is not None and (last.as_of_ms, last.state) == (as_of_ms, state):
            # Only its numbers stand still while Kafka is away: its age does not.
            return last if state == "live" else replace(last, lag_s=lag_s, newest_ms=newest_ms)
        rates, left_out = self.windows.rates(
            as_of_ms, exporter=exporter, interface=interface, windows_s=windows_s, limit=limit
        )
        found = LiveSnapshot(as_of_ms, lag_s, state, rates, newest_ms, left_out)
        if is_plain:
            self._last = found
        return found

    def _as_of_ms(self) -> int:
        as_of_ms = self._now_ms() - SETTLE_MS
        if self._progress.whole_at_s is not None:
            as_of_ms = min(as_of_ms, self._progress.whole_at_ms)
        return as_of_ms // 1000 * 1000

    async def run(self) -> None:
        """Follow the log until cancelled. Never raises anything else."""
        is_warm = False
        try:
            while True:
                try:
                    if not is_warm:
                        await self._warm_up()
                        is_warm = True
                    await self._follow()
                except _Again:
                    log.warning("the log of %s is another one, begin again", self._topic.name)
                except (KafkaAway, TopicRefused) as error:
                    self._away(error)
                except Exception as error:
                    self._metrics.restarts.inc()
                    self._say(f"live rates stale: {error!r}")
                    log.exception("live rates begin again")
                await asyncio.sleep(next(self._pauses))
        finally:
            await self._reader.stop()

    async def _warm_up(self) -> None:
        try:
            await asyncio.to_thread(_warm_up)
        finally:
            # Others wait for this, and not for its success.
            self.warmed.set()

    async def _follow(self) -> None:
        """One life of the Faust app."""
        await ensure_topics(self._brokers, [self._topic])
        since_ms = self._now_ms() - KEPT_S * 1000
        self._progress.barrier = None
        facts = await self._ask()
        positions = {fact.partition: fact.end_offset for fact in facts}
        if self._rebuilds:
            positions = await offsets_since(self._brokers, self._topic.name, since_ms)
        self._topic_id = facts[0].topic_id
        self._progress.read = dict(positions)
        self._note(facts)
        app = _new_app(self._app_id, self._take)
        try:
            await app.start()
            await self._reader.stop()
            await self._reader.start(positions)
            log.info("live rates start positions=%s", positions)
            while True:
                try:
                    await self._turn(app)
                except KafkaAway as error:
                    self._away(error)
                    await asyncio.sleep(next(self._pauses))
                except PositionLost as error:
                    raise _Again from error
        finally:
            await app.stop()

    async def _turn(self, app: "FaustApp[Sequence[Record]]") -> None:
        records = await self._reader.fetch(timeout_ms=FETCH_MS, records_max=RECORDS_MAX)
        if records:
            self._progress.answered_at_s = self._monotonic_s()
            await app.put(records)
        if app.reason is not None:
            raise app.reason
        if self._is_due("facts", FACTS_EVERY_S):
            facts = await self._ask()
            if {fact.topic_id for fact in facts} != {self._topic_id} or any(
                self._progress.read.get(fact.partition, -1) > fact.end_offset for fact in facts
            ):
                raise _Again
            self._note(facts)
        if self._is_due("forget", FORGET_EVERY_S):
            self._look_after()

    async def _ask(self) -> list[PartitionFacts]:
        """Return what the topic is now, and when it was asked for."""
        at_s, at_ms = self._monotonic_s(), self._now_ms()
        facts = await partition_facts(self._brokers, self._topic.name, patience_s=2.0)
        if not facts:
            raise KafkaAway(f"there is no topic {self._topic.name}")
        self._progress.answered_at_s = self._monotonic_s()
        if self._progress.barrier is None:
            ends = {fact.partition: fact.end_offset for fact in facts}
            self._progress.barrier = _Barrier(at_s, at_ms, ends)
        return facts

    def _note(self, facts: Sequence[PartitionFacts]) -> None:
        """Have a new partition read too, and see whether the barrier is reached."""
        if {fact.partition for fact in facts} - self._progress.read.keys():
            raise _Again
        self._check_barrier()

    def _take(self, records: Sequence[Record]) -> None:
        """Set what the records say; called by the Faust app."""
        self._before_batch()
        left_out = self.windows.left_out
        for record in records:
            try:
                given = read_rates(record.headers, record.value, appended_ms=record.timestamp_ms)
            except RatesError as error:
                verdict = "refused"
                log.warning("rates refused offset=%d: %s", record.offset, error)
            else:
                verdict = self.windows.set(given).value
            self._metrics.messages.labels(verdict).inc()
            self._progress.read[record.partition] = record.offset + 1
        self._metrics.left_out.inc(self.windows.left_out - left_out)
        self._check_barrier()

    def _check_barrier(self) -> None:
        progress = self._progress
        barrier = progress.barrier
        if barrier is None or any(
            progress.read.get(number, 0) < end for number, end in barrier.ends.items()
        ):
            return
        progress.barrier = None
        progress.whole_at_s, progress.whole_at_ms = barrier.at_s, barrier.at_ms
        self._pauses = waits(first_s=0.5, longest_s=10.0)
        self._say(None)

    def _look_after(self) -> None:
        self.windows.forget(self._now_ms())
        self._metrics.entries.set(self.windows.entries)
        lag_s = self.lag_s
        self._metrics.lag_s.set(-1 if lag_s is None else lag_s)

    def _away(self, error: KafkaAway | TopicRefused) -> None:
        self._look_after()
        self._say(f"live rates stale: {error}")
        log.warning("live rates: kafka away, tried again error=%s", error)

    def _say(self, why: str | None) -> None:
        self._health.note(CONDITION, why)

    def _is_due(self, what: str, every_s: float) -> bool:
        now_s = self._monotonic_s()
        if now_s < self._due_s[what]:
            return False
        self._due_s[what] = now_s + every_s
        return True


def _warm_up() -> None:
    # Late, and in a thread: it takes seconds to import.
    from services.central.live.faust_app import warm_up

    warm_up()


def _new_app(
    app_id: str, process: Callable[[Sequence[Record]], None]
) -> "FaustApp[Sequence[Record]]":
    from services.central.live.faust_app import FaustApp

    return FaustApp(app_id, process)

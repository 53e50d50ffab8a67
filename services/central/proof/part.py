"""A central's part in the proof: publishes, compares, scrubs and repairs, each in a loop."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeVar

from sqlalchemy import Engine

from services.central.applier import Applier
from services.central.messages import MINUTE_MS
from services.central.metadata.repairs import Repair, Repairs
from services.central.metrics import CentralMetrics
from services.central.progress import Progress
from services.central.project import Projection
from services.central.proof.alarms import Alarms
from services.central.proof.checking import DAY_MS
from services.central.proof.choosing import RepairRefused, choose
from services.central.proof.ledger import HORIZON_MS, Copy, Ledger
from services.central.proof.log_reader import read_minute
from services.central.proof.publisher import Publisher
from services.central.proof.repair_queue import AWAY, RepairQueue
from services.central.proof.repairing import Repairer, is_closed
from services.central.proof.scrubber import Scrubber
from services.central.proof.sender import Sender
from services.central.store.flow_store import FlowStore
from shared.backoff import waits
from shared.digest_records import DigestRecordError, Left, Period, PeriodDigest, decode_digest
from shared.follow import Follower
from shared.health import Health
from shared.kafka import Brokers, Record
from shared.settings_events import RetentionSet
from shared.topics import Topic

log = logging.getLogger(__name__)

Result = TypeVar("Result")
PUBLISH_EVERY_S = 1.0
REVIEW_EVERY_S = 1.0
SCRUB_AFTER_S = 10.0
"""Who just started has a log to catch up with, and may be needed as primary first."""


class Clocks(NamedTuple):
    """now_ms: wall clock, UTC; monotonic_s: must not fall."""

    now_ms: Callable[[], int]
    monotonic_s: Callable[[], float]


class ProofPart:
    """Opens nothing before `run`, which never ends by itself."""

    def __init__(
        self,
        store: FlowStore,
        database: Engine,
        applier: Applier,
        projection: Projection,
        *,
        central: str,
        brokers: Brokers,
        topic: Topic,
        clocks: Clocks,
        metrics: CentralMetrics,
        health: Health,
        retention: Callable[[], RetentionSet | None],
        primary: Callable[[], str],
        before_step: Callable[[str], None] = lambda step: None,
    ) -> None:
        """Use an open store and database.

        retention: what holds now, None until that is known. before_step: as of `Applier`, with
        `repair ` before the name of each step of a repair.
        """
        self._applier = applier
        self._projection = projection
        self._clocks = clocks
        self._retention = retention
        self._primary = primary
        self._metrics = metrics.proof
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="proof")
        self._alarms = Alarms(metrics, health)
        self._sender = Sender(brokers, client_id=f"{central}-digests", topic=topic)
        self._follower = Follower(
            brokers,
            client_id=f"{central}-digests",
            topic=topic,
            take=self._take,
            begin=self._begin,
        )
        self.ledger = Ledger(central)
        repairer = Repairer(
            store,
            central=central,
            in_proof_thread=self._in_thread,
            between_steps=projection.between_steps,
            read_minute=partial(read_minute, brokers, projection.topic, f"{central}-repair"),
            progress=self._progress,
            records=self._records,
            before_step=lambda step: before_step(f"repair {step}"),
        )
        self.repairs = RepairQueue(
            Repairs(database),
            repairer,
            self._sender,
            read_to=self._follower.read_to,
            now_ms=clocks.now_ms,
            metrics=metrics,
        )
        self._publisher = Publisher(
            store.proof,
            applier,
            self._sender,
            ledger=lambda: self.ledger,
            in_proof_thread=self._in_thread,
            metrics=metrics,
        )
        self.scrubber = Scrubber(
            store.proof,
            self._sender,
            ledger=lambda: self.ledger,
            in_proof_thread=self._in_thread,
            is_closed=self._is_closed,
            under_repair=lambda: self.repairs.periods,
            retention=retention,
            now_ms=clocks.now_ms,
            monotonic_s=clocks.monotonic_s,
            metrics=metrics,
        )

    def spans_under_repair(self) -> Sequence[tuple[int, int]]:
        """Return (from, to) of what is under repair, ms UTC; any thread."""
        return [(period.starts_ms, period.ends_ms) for period in self.repairs.periods]

    def copy(self) -> Copy:
        """Return how far this central holds what the primary holds."""
        return self.ledger.copy_of(self._primary())

    async def drop(self, central: str) -> None:
        """Compare no more with what one that was forgotten said. Raises KafkaAway, SendRefused."""
        await self._sender.send([Left(central)])

    async def request(self, wanted: Period | None) -> list[Repair]:
        """Note a repair of `wanted`, or of all that may be wrong here. Raises RepairRefused."""
        if wanted is not None:
            progress = self._progress(wanted.stream)
            if progress is None or not is_closed(progress, wanted):
                raise RepairRefused("this central has closed no such minute of that stream")
        return await self.repairs.note(choose(self.ledger, wanted))

    async def run(self) -> None:
        """Publish, compare, scrub and repair until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follower.run())
                group.create_task(self._again_and_again(self._publish))
                group.create_task(self._scrub())
                group.create_task(self._review())
                group.create_task(self.repairs.run())
        finally:
            await self._sender.stop()
            # The statement in hand ends first: the store must not be closed under it.
            await asyncio.shield(asyncio.to_thread(self._thread.shutdown))

    async def _publish(self) -> float:
        await self._read_to_end()
        if (oldest_ms := self._oldest_ms()) is not None:
            await self._publisher.turn(oldest_ms)
        return PUBLISH_EVERY_S

    async def _scrub(self) -> None:
        await asyncio.sleep(SCRUB_AFTER_S)
        await self._again_and_again(self._scrub_next)

    async def _scrub_next(self) -> float:
        await self._read_to_end()
        return await self.scrubber.turn()

    async def _review(self) -> None:
        while True:
            await self._read_to_end()
            if (oldest_ms := self._oldest_ms()) is not None:
                self.ledger.forget(oldest_ms)
                self._alarms.review(self.ledger)
            await asyncio.sleep(REVIEW_EVERY_S)

    def _oldest_ms(self) -> int | None:
        """Return where the periods begin that are compared, UTC; None until that is known.

        Minutes that the retention drops are no difference, wherever they are gone first.
        """
        if (retention := self._retention()) is None:
            return None
        now_ms = self._clocks.now_ms()
        kept_ms = (now_ms // DAY_MS - retention.minute_days + 1) * DAY_MS
        return max(kept_ms, (now_ms - HORIZON_MS) // MINUTE_MS * MINUTE_MS)

    async def _again_and_again(self, turn: Callable[[], Awaitable[float]]) -> None:
        pauses = waits()
        while True:
            try:
                rest_s = await turn()
                pauses = waits()
            except AWAY as error:
                rest_s = next(pauses)
                log.warning("proof waits error=%s", str(error)[:300])
            await asyncio.sleep(rest_s)

    async def _read_to_end(self) -> None:
        """Return once the topic was read as far as it went when reading began."""
        # Where it ended is known once any of it could be read.
        await self._follower.read_to(0)
        await self._follower.read_to(self._follower.end_offset)

    def _begin(self) -> None:
        self.ledger = Ledger(self.ledger.central)
        self._publisher.begin()

    def _take(self, record: Record) -> None:
        try:
            taken = decode_digest(record.key, record.value)
            self.ledger.take(taken)
            if taken == Left(self.ledger.central):
                # It came back, or was never gone: all that it holds is told anew.
                self._publisher.begin(anew=True)
        except DigestRecordError as error:
            self._metrics.refused.inc()
            log.warning("record of digests refused offset=%d: %s", record.offset, error)

    def _progress(self, stream: int) -> Progress | None:
        return self._applier.state.streams.get(stream)

    def _records(self, period: Period) -> list[PeriodDigest]:
        centrals = [self.ledger.central, *self.ledger.others]
        found = (self.ledger.record_of(central, period) for central in centrals)
        return [each for each in found if each is not None]

    def _is_closed(self, period: Period) -> bool:
        """Tell whether the store must hold a period by now."""
        progress = self._progress(period.stream)
        if progress is not None:
            return is_closed(progress, period)
        # Nothing is known of a stream that was closed here once, though all of the log is read.
        lag = self._projection.lag()
        return lag is not None and lag.records == 0

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._thread, work))

"""One central's part in the roles: reads `ha.log`, sends heartbeats, takes the steps it owes.

What to do is decided by `shared.roles.acting` and `duties`; here it is done. Counting flows never
waits for any of this.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from services.central.roles.duties import Decision, Duties, RolesTopics, owed
from services.central.roles.metrics import RolesMetrics
from services.central.roles.outbox import OutboxError, OutboxState, decode_item
from services.central.roles.outbox import evolve as evolve_outbox
from services.central.roles.vacancy import Vacancy, seconds
from services.central.roles.vacancy import evolve as evolve_vacancy
from shared.backoff import waits
from shared.follow import Follower
from shared.ha_log import HaLog, LogRemade, LogUnreadable
from shared.health import Health
from shared.kafka import (
    Brokers,
    Fenced,
    FencedProducer,
    KafkaAway,
    Producer,
    Pulse,
    SendRefused,
    Sent,
    TopicRefused,
    delete_records,
    end_offsets,
    unbroken,
)
from shared.kafka import Record as KafkaRecord
from shared.roles import acting as roles_of_one
from shared.roles.acting import (
    Acting,
    ActingFailed,
    FitnessChanged,
    HeartbeatSent,
    Phase,
    Read,
    Step,
    StepDone,
    barrier_number,
    claim_of,
    handover_of,
    may_act,
)
from shared.roles.cluster import ClusterRoles, decode_roles, newer
from shared.roles.fold import Folded, FutureFold, RolesState
from shared.roles.history import (
    HistoryError,
    Tail,
    Takeover,
    decision_entry,
    is_decision,
    read_entry,
    tail_after,
    takeover_of,
)
from shared.roles.records import Heartbeat, Record, RecordError, Snapshot, encode_record
from shared.roles.snapshot import snapshot_of
from shared.topics import Outgoing, Topic

log = logging.getLogger(__name__)

TRANSACTIONAL_ID: Final = "steadflow-primary"
DEFAULT_PERIOD_MS: Final = 400
AGAIN_S: Final = 1.5
"""A claim or a handover that was not read back for so long is appended again."""
LOOK_S: Final = 0.1
SLOW_PAUSE_S: Final = 5.0
DECISIONS_KEPT: Final = 10_000
TAKEOVERS_KEPT: Final = 1_000
SNAPSHOT_EVERY: Final = 1_100
"""Registries write one after 1,000 records; this is for days without a registry."""
OUTBOX_KEPT_MS: Final = 24 * 3600 * 1000
_ACTING_PHASES: Final = (Phase.ANNOUNCING, Phase.ACTING, Phase.LETTING_GO)


class Progress(NamedTuple):
    """How the projection stands. lag_s: None while unknown."""

    position: int
    lag_records: int | None
    lag_s: float | None
    is_fit: bool


class NotPrimary(Exception):
    """This central may not write for the cluster; `url` is where the primary answers, or empty."""

    def __init__(self, reason: str, url: str = "") -> None:
        """reason: a short sentence."""
        super().__init__(reason)
        self.url = url


@dataclass(frozen=True, slots=True)
class Clocks:
    """wall_ms: UTC. boot_s: never stops, also while the machine sleeps (`CLOCK_BOOTTIME`)."""

    wall_ms: Callable[[], int]
    boot_s: Callable[[], float]


@dataclass(slots=True)
class _Request:
    records: Sequence[Outgoing]
    answer: asyncio.Future[list[Sent]]


class RolesPart:
    """Runs until cancelled; everything happens in one event loop."""

    def __init__(
        self,
        bootstrap_servers: Brokers,
        *,
        node: str,
        boot_id: str = "",
        url: Callable[[], str],
        priority: int,
        topics: RolesTopics,
        progress: Callable[[], Progress],
        catch_up: Callable[[], Awaitable[None]],
        clocks: Clocks,
        health: Health,
        metrics: RolesMetrics,
    ) -> None:
        """Build without connecting.

        boot_id: of the first incarnation; one at random when empty. url: where this central's API
        answers. catch_up: returns once everything is applied that stood in the logs when it was
        called.
        """
        self._bootstrap_servers = bootstrap_servers
        self._node, self._url, self._priority = node, url, priority
        self._topics = topics
        self._progress = progress
        self._catch_up = catch_up
        self._clocks = clocks
        self._health = health
        self._metrics = metrics
        self._log = HaLog(bootstrap_servers, client_id=f"{node}-ha", topic=topics.log)
        self._pulse = Pulse(bootstrap_servers, client_id=f"{node}-pulse", topic=topics.log.name)
        self._log_producer = Producer(bootstrap_servers, client_id=f"{node}-ha")
        self._log_producer_works = False
        self._primary: FencedProducer | None = None
        self.acting = Acting(self._new_incarnation(boot_id))
        self._number = 0
        self._has_acted = False
        self._is_following = False
        self._taken: tuple[Step, int, int] | None = None
        self._step: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._effects: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._requests: deque[_Request] = deque()
        self._vacancy = Vacancy()
        self._claim_read_s = 0.0
        self._took_s: float | None = None
        self._decisions: deque[Decision] = deque(maxlen=DECISIONS_KEPT)
        self._snapshots: deque[int] = deque(maxlen=2)
        self._committed_tick = 0
        self.outbox = OutboxState()
        self.tail = Tail()
        self.written: ClusterRoles | None = None
        # What an own transaction ended with is known before it is read.
        self._own_tail = Tail()
        self._own_written: ClusterRoles | None = None
        self._own_outbox = OutboxState()
        self.takeovers: deque[Takeover] = deque(maxlen=TAKEOVERS_KEPT)
        self._delivered: list[str] = []

        def follower(
            topic: Topic,
            take: Callable[[KafkaRecord], None],
            begin: Callable[[], None] = lambda: None,
            since_ms: Callable[[], int] | None = None,
        ) -> Follower:
            return Follower(
                bootstrap_servers,
                client_id=f"{node}-{topic.name}",
                topic=topic,
                take=take,
                read_committed=True,
                begin=begin,
                since_ms=since_ms,
            )

        self._followers = {
            topics.roles.name: follower(topics.roles, self._take_roles),
            topics.history.name: follower(
                topics.history, self._take_entry, begin=self._begin_history
            ),
            topics.outbox.name: follower(
                topics.outbox,
                self._take_item,
                begin=self._begin_outbox,
                since_ms=lambda: clocks.wall_ms() - OUTBOX_KEPT_MS,
            ),
        }

    @property
    def node(self) -> str:
        """The name of this central."""
        return self._node

    @property
    def state(self) -> RolesState:
        """The fold of the log, as far as it was read."""
        return self.acting.roles

    @property
    def is_primary(self) -> bool:
        """Whether this central acts at this moment: the role, and a lease that has not ended."""
        return self.acting.phase is Phase.ACTING and may_act(self.acting, self._clocks.boot_s())

    @property
    def primary_url(self) -> str:
        """Where the holder of the role answers; empty without one."""
        holder = self.state.members.get(self.state.holder)
        return "" if holder is None else holder.url

    async def commit(self, records: Sequence[Outgoing]) -> list[Sent]:
        """Write `records` in a transaction of the primary. Raises NotPrimary, KafkaAway."""
        if not self.is_primary:
            raise self._not_primary()
        request = _Request(records, asyncio.get_running_loop().create_future())
        self._requests.append(request)
        self._wake.set()
        return await request.answer

    def delivered(self, key: str) -> None:
        """Note that the notice `key` left the house, to be written down."""
        self._delivered.append(key)
        self._wake.set()

    async def run(self) -> None:
        """Take part until cancelled; ends by an exception only where the fault is ours."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pulse.run())
                for follower in self._followers.values():
                    group.create_task(follower.run())
                group.create_task(self._follow())
                group.create_task(self._beat())
        finally:
            # Whoever stops this may cancel it again before all connections are closed.
            await unbroken(self._end)

    async def _end(self) -> None:
        for task in (self._step, self._effects):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        if self._retry is not None:
            self._retry.cancel()
        self._refuse_requests()
        await self._drop_producer()
        if self._log_producer_works:
            await self._log_producer.stop()
        await self._log.stop()

    # Reading the log.

    async def _follow(self) -> None:
        pauses = waits(longest_s=2.0)
        while True:
            try:
                for folded in await self._log.start():
                    self._take(folded)
                self._is_following = True
                self._health.note("roles", None)
                self._drive()
                pauses = waits(longest_s=2.0)
                await self._read_on()
            except KafkaAway as error:
                self._metrics.kafka_away.inc()
                log.warning("ha.log not read, tried again error=%s", error)
            except LogRemade as error:
                log.error("roles begin again: %s", error)
                self._begin_again()
            except (LogUnreadable, FutureFold, TopicRefused) as error:
                self._health.note("roles", str(error))
                log.error("takes no part in the roles: %s", error)
                self._begin_again()
                await asyncio.sleep(SLOW_PAUSE_S)
            self._is_following = False
            await asyncio.sleep(next(pauses))

    async def _read_on(self) -> None:
        while True:
            try:
                records = await self._log.fetch()
            except KafkaAway as error:
                self._metrics.kafka_away.inc()
                log.warning("ha.log not read, tried again error=%s", error)
                await asyncio.sleep(LOOK_S)
                continue
            for folded in records:
                self._take(folded)
            if records:
                self._drive()

    def _take(self, folded: Folded) -> None:
        record, state = folded.record, folded.state
        self._vacancy = evolve_vacancy(self._vacancy, folded)
        if is_decision(folded.before, record) and state.config is not None:
            self._decisions.append(
                decision_entry(
                    record,
                    generation=state.config.generation,
                    offset=folded.offset,
                    at_ms=folded.append_ms,
                )
            )
        if isinstance(record, Snapshot):
            self._snapshots.append(record.offset)
        if state.epoch != folded.before.epoch:
            self._claim_read_s = self._clocks.boot_s()
            self._took_s = None
            log.info("epoch=%d primary=%s reason=%s", state.epoch, state.holder, state.reason)
        if isinstance(record, Heartbeat) and record.incarnation == self.acting.incarnation:
            sent_at_s = self.acting.sent.get(record.number)
            if sent_at_s is not None:
                self._metrics.read_back_s.observe(self._clocks.boot_s() - sent_at_s)
        self.acting = roles_of_one.evolve(self.acting, Read(record, state))

    def _begin_again(self) -> None:
        """Forget the log that was: what is held by it is held no more."""
        self._decisions.clear()
        self._snapshots.clear()
        self._vacancy = Vacancy()
        self._stop_acting()
        self.acting = Acting(self._new_incarnation())
        self._number, self._taken = 0, None

    def _new_incarnation(self, boot_id: str = "") -> str:
        return f"{self._node}/{boot_id or secrets.token_hex(4)}"

    # Heartbeats.

    async def _beat(self) -> None:
        while True:
            config = self.state.config
            await asyncio.sleep((config.period_ms if config else DEFAULT_PERIOD_MS) / 1000)
            if not self._is_following:
                continue
            progress = self._progress()
            if progress.is_fit is not self.acting.is_fit:
                self.acting = roles_of_one.evolve(self.acting, FitnessChanged(progress.is_fit))
                self._drive()
            if config is not None:
                self._send_heartbeat(progress)
            self._measure()

    def _send_heartbeat(self, progress: Progress) -> None:
        self._number += 1
        state = self.acting
        heartbeat = Heartbeat(
            node=self._node,
            incarnation=state.incarnation,
            epoch=state.roles.epoch,
            acknowledged_ticks=state.roles.ticks,
            number=self._number,
            priority=self._priority,
            position=progress.position,
            lag_s=progress.lag_s,
            is_fit=progress.is_fit,
            has_acted=self._has_acted,
            barrier=barrier_number(state),
            url=self._url(),
            lag_records=progress.lag_records,
        )
        self._has_acted = False
        sent = HeartbeatSent(self._number, self._clocks.boot_s())
        self.acting = roles_of_one.evolve(state, sent)
        self._pulse.send(encode_record(heartbeat))

    def _measure(self) -> None:
        state = self.state
        self._metrics.epoch.set(state.epoch)
        self._metrics.is_primary.set(self.is_primary)
        self._metrics.lost_heartbeats.set(self._pulse.lost)
        self._metrics.refused_records.set(self._log.refused + self.outbox.refused)

    # Steps.

    def _drive(self) -> None:
        """Begin the step that is owed, once per promotion, phase and epoch."""
        state = self.acting
        step = roles_of_one.owed(state)
        if state.phase not in _ACTING_PHASES:
            self._stop_acting()
        self._wake.set()
        taken = (step, state.promotion, state.roles.epoch)
        if taken == self._taken:
            return
        self._taken = taken
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        match step:
            case Step.NOTHING | Step.ACT | Step.FLUSH:
                pass
            case Step.SEND_BARRIER:
                # One that is lost is followed by those of the period.
                self._send_heartbeat(self._progress())
            case Step.BE_REBORN:
                self.acting = Acting(self._new_incarnation(), roles=state.roles)
                self._number = 0
                log.warning("was taken for dead, goes on as %s", self.acting.incarnation)
                self._drive()
            case Step.ANNOUNCE:
                if self._effects is None or self._effects.done():
                    self._effects = asyncio.create_task(self._act(state.promotion))
            case Step.INITIALISE:
                self._begin_step(step, self._initialise())
            case Step.CATCH_UP:
                self._begin_step(step, self._catch_up())
            case Step.READ_OUTBOX:
                self._begin_step(step, self._read_committed())
            case Step.HAND_OVER:
                self._begin_step(step, self._append(handover_of(state)))
            case Step.CLAIM:
                self._begin_step(step, self._append(claim_of(state)))

    def _begin_step(self, step: Step, work: Awaitable[None]) -> None:
        if self._step is not None:
            self._step.cancel()
        self._step = asyncio.create_task(self._take_step(step, work, self.acting.promotion))

    async def _take_step(self, step: Step, work: Awaitable[None], promotion: int) -> None:
        started_s = self._clocks.boot_s()
        try:
            await work
        except (KafkaAway, SendRefused) as error:
            log.warning("step failed step=%r error=%s", step.value, error)
            self._fail(promotion)
            return
        spent_s = self._clocks.boot_s() - started_s
        self._metrics.step_s.labels(step.name.lower()).observe(spent_s)
        log.info("step=%r promotion=%d ms=%.0f", step.value, promotion, spent_s * 1000)
        if step in (Step.HAND_OVER, Step.CLAIM):
            loop = asyncio.get_running_loop()
            self._retry = loop.call_later(AGAIN_S, self._take_again)
            return
        self._done(step, promotion)

    def _take_again(self) -> None:
        """Take the step once more that is still owed: its record may be lost."""
        self._taken = None
        self._drive()

    def _done(self, step: Step, promotion: int) -> None:
        self.acting = roles_of_one.evolve(self.acting, StepDone(step, promotion))
        self._drive()

    def _fail(self, promotion: int) -> None:
        self.acting = roles_of_one.evolve(self.acting, ActingFailed(promotion))
        # The same step again, where the role was not lost with it.
        asyncio.get_running_loop().call_later(LOOK_S, self._take_again)

    async def _initialise(self) -> None:
        await self._drop_producer()
        producer = FencedProducer(
            self._bootstrap_servers,
            client_id=f"{self._node}-primary",
            transactional_id=TRANSACTIONAL_ID,
        )
        await producer.start()
        self._primary = producer

    async def _drop_producer(self) -> None:
        producer, self._primary = self._primary, None
        if producer is not None:
            await producer.stop()

    async def _read_committed(self) -> None:
        """Read what the primary before wrote, to the ends as they are now."""
        ends = await end_offsets(self._bootstrap_servers, self._followers)
        for topic, follower in self._followers.items():
            await follower.read_to(ends[topic].get(0, 0))
        self._own_tail, self._own_written, self._own_outbox = self.tail, self.written, self.outbox

    async def _append(self, record: Record) -> None:
        """Append a decision to the log. Raises KafkaAway, SendRefused."""
        if not self._log_producer_works:
            await self._log_producer.start()
            self._log_producer_works = True
        try:
            await self._log_producer.send(
                self._topics.log.name, partition=0, key=None, value=encode_record(record)
            )
        except BaseException:
            self._log_producer_works = False
            raise

    # Acting.

    async def _act(self, promotion: int) -> None:
        """Commit what is owed, again and again, for as long as this promotion lasts."""
        while self.acting.promotion == promotion and self.acting.phase in _ACTING_PHASES:
            self._wake.clear()
            if may_act(self.acting, self._clocks.boot_s()):
                try:
                    await self._commit_owed()
                except (Fenced, KafkaAway) as error:
                    self._metrics.failed_commits.inc()
                    log.warning("a transaction failed, the role is looked at again: %s", error)
                    self._fail(promotion)
                    return
                phase = self.acting.phase
                if phase is Phase.ANNOUNCING:
                    log.info("acts epoch=%d took_s=%s", self.acting.epoch, self._took_s)
                    self._done(Step.ANNOUNCE, promotion)
                elif phase is Phase.LETTING_GO:
                    self._refuse_requests()
                    self._done(Step.FLUSH, promotion)
                    return
            await self._look_after_log()
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _commit_owed(self) -> None:
        assert self._primary is not None
        if self.acting.phase is Phase.ANNOUNCING and self._took_s is None:
            self._took_s = seconds(self._vacancy, self._clocks.boot_s() - self._claim_read_s)
        due = owed(
            Duties(
                roles=self.state,
                now_ms=self._clocks.wall_ms(),
                brokers=self._bootstrap_servers.servers,
                took_s=self._took_s,
                written=self._own_written,
                tail=self._own_tail,
                decisions=tuple(self._decisions),
                outbox=self._own_outbox,
                committed_tick=self._committed_tick,
                delivered=tuple(self._delivered),
            ),
            self._topics,
        )
        requests = [self._requests.popleft() for _ in range(len(self._requests))]
        records = [*due.records, *(record for each in requests for record in each.records)]
        if not records:
            return
        ticks = self.state.ticks
        try:
            sent = await self._primary.commit(records)
        except BaseException as error:
            for each in requests:
                if not each.answer.done():
                    each.answer.set_exception(
                        error if isinstance(error, KafkaAway) else self._not_primary()
                    )
            raise
        self._metrics.commits.inc()
        self._has_acted, self._committed_tick = True, ticks
        self._own_written, self._own_tail, self._own_outbox = due.roles, due.tail, due.outbox
        at = len(due.records)
        for each in requests:
            if not each.answer.done():
                each.answer.set_result(sent[at : at + len(each.records)])
            at += len(each.records)

    def _stop_acting(self) -> None:
        if self._effects is not None and not self._effects.done():
            if self._effects is not asyncio.current_task():
                self._effects.cancel()
            self._effects = None
        self._refuse_requests()

    def _refuse_requests(self) -> None:
        while self._requests:
            answer = self._requests.popleft().answer
            if not answer.done():
                answer.set_exception(self._not_primary())

    def _not_primary(self) -> NotPrimary:
        if self.state.holder == self.acting.incarnation:
            return NotPrimary("this central is about to act, try again in a moment")
        if not self.primary_url:
            return NotPrimary("there is no primary now")
        return NotPrimary("this central is not the primary", self.primary_url)

    async def _look_after_log(self) -> None:
        """Write a snapshot when it is due, and delete what no reader needs any more."""
        state = self.state
        try:
            if state.offset - state.snapshot_offset >= SNAPSHOT_EVERY:
                await self._append(snapshot_of(state))
            if len(self._snapshots) == 2 and self._snapshots[1] - self._snapshots[0] >= 1_000:
                before = min(self._snapshots[0], self.tail.offset) + 1
                self._snapshots.popleft()
                await delete_records(
                    self._bootstrap_servers, self._topics.log.name, before_offset=before
                )
        except (KafkaAway, SendRefused) as error:
            log.warning("ha.log is not kept short: %s", error)

    # Committed topics.

    def _take_item(self, read: KafkaRecord) -> None:
        try:
            self.outbox = evolve_outbox(self.outbox, decode_item(read.value))
        except OutboxError as error:
            log.error("item of the outbox refused error=%s", error)
        self._delivered = [key for key in self._delivered if key in self.outbox.waiting]

    def _begin_outbox(self) -> None:
        self.outbox = OutboxState()

    def _take_entry(self, read: KafkaRecord) -> None:
        try:
            entry = read_entry(read.value)
        except HistoryError as error:
            log.error("entry of ha.history refused error=%s", error)
            return
        self.tail = tail_after(self.tail, entry)
        if (takeover := takeover_of(entry)) is not None:
            self.takeovers.append(takeover)
        while self._decisions and _place(self._decisions[0]) <= self.tail.order:
            self._decisions.popleft()

    def _begin_history(self) -> None:
        self.tail = Tail()
        self.takeovers.clear()

    def _take_roles(self, read: KafkaRecord) -> None:
        try:
            found = decode_roles(read.value)
        except RecordError as error:
            log.error("record of ha.roles refused error=%s", error)
            return
        self.written = newer(self.written, found)


def _place(decision: Decision) -> tuple[int, int]:
    return int(decision["generation"]), int(decision["offset"])

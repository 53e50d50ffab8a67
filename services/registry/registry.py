"""The loops of one registry: it follows the log, ticks, and claims the role for whom policy wants.

It decides nothing that another registry does not decide alike, and keeps nothing: the log is all.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from services.registry.committed import CommittedRoles, read_history
from services.registry.config import RegistryConfig
from services.registry.metrics import RegistryMetrics
from services.registry.policy_config import differences, first_config
from services.registry.ticking import Ticking, after_sent, after_valid, due_s
from shared.backoff import waits
from shared.ha_append import Appender
from shared.ha_log import HaLog, LogRemade, LogUnreadable
from shared.health import Health
from shared.kafka import KafkaAway, Pulse, Sent, TopicRefused, configured_brokers, unbroken
from shared.roles.cluster import ClusterRoles
from shared.roles.fold import START, Folded, FutureFold, RolesState
from shared.roles.history import Entry
from shared.roles.policy import propose
from shared.roles.records import Record, RecordError, Tick, encode_record
from shared.roles.snapshot import snapshot_of
from shared.roles.view import Alarm, cluster_alarms
from shared.topics import HA_HISTORY, HA_LOG, HA_ROLES, Topic

log = logging.getLogger(__name__)

SNAPSHOT_EVERY_OFFSETS = 1_000
START_AGAIN_AFTER_FETCHES = 3
"""So many failed in a row, the log is read anew: its topic may be gone, and has to be made."""
UNREADABLE_PAUSE_S = 10.0
LOOK_AGAIN_S = 5.0
NAP_S = 0.2
TICK_STUCK_S = 180.0
"""Three of the longest periods."""


class Registry:
    """One registry. `run` it; everything else shows what it knows, or appends a decision."""

    def __init__(
        self,
        config: RegistryConfig,
        *,
        metrics: RegistryMetrics,
        health: Health,
        clock_s: Callable[[], float],
        chance: Callable[[], float],
        ha_log: Topic = HA_LOG,
        ha_roles: Topic = HA_ROLES,
        ha_history: Topic = HA_HISTORY,
    ) -> None:
        """Build without connecting. clock_s: must not fall. chance: uniform in [0, 1)."""
        self.config = config
        self.state: RolesState = START
        self._metrics = metrics
        self._health = health
        self._clock_s = clock_s
        self._chance = chance
        self._history = ha_history
        brokers, client_id = configured_brokers(config), config.name
        self._brokers = brokers
        self._log = HaLog(brokers, client_id=client_id, topic=ha_log)
        self._pulse = Pulse(brokers, client_id=f"{client_id}-pulse", topic=ha_log.name)
        self._appender = Appender(brokers, client_id=client_id, topic=ha_log.name)
        self._committed = CommittedRoles(
            brokers,
            client_id=f"{client_id}-roles",
            topic=ha_roles,
            health=health,
            when_read=self._note_news,
        )
        self._is_read = False
        self._generation = 0
        self._moved = asyncio.Condition()
        self._news = asyncio.Event()
        self._ticking = Ticking()
        self._tried = (0, 0)
        self._configured_id = ""
        self._snapshot_tried = -1
        self._shown_alarms: list[Alarm] = []
        self._differences = ""

    @property
    def name(self) -> str:
        """Of this registry."""
        return self.config.name

    @property
    def roles(self) -> ClusterRoles | None:
        """What `ha.roles` says."""
        return self._committed.roles

    @property
    def alarms(self) -> list[Alarm]:
        """What is wrong with the cluster."""
        return cluster_alarms(self.state, self.roles)

    @property
    def trouble(self) -> str:
        """Why nothing can be decided now, in a sentence; empty when it can."""
        return "; ".join(self._health.reasons.values())

    @property
    def lost_ticks(self) -> int:
        """Own ticks that no broker acknowledged."""
        return self._pulse.lost

    @property
    def refused(self) -> dict[str, int]:
        """Unreadable records by topic."""
        return {HA_LOG.name: self._log.refused, HA_ROLES.name: self._committed.refused}

    async def append(self, record: Record) -> Sent:
        """Append a decision. Raises KafkaAway: it may stand in the log, or come there late."""
        return await self._appender.append(record)

    async def until(self, holds: Callable[[], bool], *, timeout_s: float) -> bool:
        """Wait for the log to bring about what `holds` asks; False when it did not in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), self._moved:
                await self._moved.wait_for(holds)
        return holds()

    async def history(self) -> tuple[list[Entry], list[str]]:
        """Return the entries of `ha.history` and what is wrong with them. Raises KafkaAway."""
        return await read_history(
            self._brokers,
            client_id=f"{self.name}-history",
            topic=self._history.name,
        )

    async def run(self) -> None:
        """Run all loops until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pulse.run())
                group.create_task(self._committed.run())
                group.create_task(self._follow())
                group.create_task(self._tick())
                group.create_task(self._decide())
        finally:
            # Whoever stops this may cancel it again before all connections are closed.
            await unbroken(self._end)

    async def _end(self) -> None:
        await self._log.stop()
        await self._appender.stop()

    async def _follow(self) -> None:
        pauses = waits()
        while True:
            self._health.turned("follow")
            try:
                records = await self._log.start()
                pauses = waits()
                await self._began(records)
                await self._fetch_on()
            except KafkaAway as error:
                self._away(error)
                await asyncio.sleep(next(pauses))
            except LogRemade as error:
                log.warning("ha.log is another one now, read anew: %s", error)
                await self._void()
                await asyncio.sleep(next(pauses))
            except (LogUnreadable, FutureFold, TopicRefused, RecordError) as error:
                log.error("nothing is decided: %s", error)
                self._health.met("kafka")
                self._health.unmet("log", str(error)[:300])
                await self._void()
                await asyncio.sleep(UNREADABLE_PAUSE_S)

    async def _began(self, records: int) -> None:
        self._health.met("kafka")
        self._health.met("log")
        self._tried, self._snapshot_tried = (0, 0), -1
        self._is_read = True
        await self._arrive(self._log.state)
        log.info("ha.log read records=%d offset=%d", records, self.state.offset)

    async def _fetch_on(self) -> None:
        failed = 0
        while True:
            self._health.turned("follow")
            try:
                folded = await self._log.fetch()
            except KafkaAway as error:
                failed += 1
                if failed >= START_AGAIN_AFTER_FETCHES:
                    raise
                self._away(error)
                continue
            failed = 0
            self._health.met("kafka")
            if folded:
                self._note_ticks(folded)
                await self._arrive(self._log.state)

    def _note_ticks(self, folded: list[Folded]) -> None:
        for each in folded:
            if isinstance(each.record, Tick) and each.state.ticks > each.before.ticks:
                self._ticking = after_valid(
                    self._ticking,
                    is_own=each.record.registry == self.name,
                    now_s=self._clock_s(),
                    age_s=(folded[-1].append_ms - each.append_ms) / 1000,
                    chance=self._chance(),
                )

    def _away(self, error: KafkaAway) -> None:
        self._metrics.kafka_away.inc()
        self._health.unmet("kafka", f"Kafka is away: {error}"[:300])
        log.warning("ha.log not read, tried again error=%s", str(error)[:300])

    async def _void(self) -> None:
        """Forget what was read; the generation stays, for the log that comes next."""
        self._is_read = False
        await self._arrive(START)

    async def _arrive(self, state: RolesState) -> None:
        async with self._moved:
            self.state = state
            self._moved.notify_all()
        if state.config is not None:
            self._generation = max(self._generation, state.config.generation)
        self._show_differences()
        self._note_news()

    def _note_news(self) -> None:
        self._news.set()
        self._show_alarms()

    def _show_differences(self) -> None:
        held = self.state.config
        said = "" if held is None else "; ".join(differences(self.config, held))
        if said and said != self._differences:
            log.warning("%s", said)
        self._differences = said
        self._health.note("config", said or None)

    def _show_alarms(self) -> None:
        if not (self._is_read and self._committed.is_read):
            return
        alarms = self.alarms
        known = {alarm.kind for alarm in self._shown_alarms}
        for alarm in alarms:
            if alarm.kind not in known:
                log.warning("alarm: %s", alarm.text)
        for alarm in self._shown_alarms:
            if alarm.kind not in {each.kind for each in alarms}:
                log.info("alarm over: %s", alarm.text)
        self._shown_alarms = alarms

    async def _tick(self) -> None:
        while True:
            self._health.turned("tick", period_s=TICK_STUCK_S)
            config = self.state.config
            if config is None:
                await asyncio.sleep(NAP_S)
                continue
            wait_s = due_s(self._ticking, period_s=config.period_ms / 1000) - self._clock_s()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
                continue
            self._ticking = after_sent(self._ticking, now_s=self._clock_s())
            self._metrics.ticks.inc()
            self._pulse.send(encode_record(Tick(self.name)))

    async def _decide(self) -> None:
        while True:
            self._health.turned("decide")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_S):
                    await self._news.wait()
            self._news.clear()
            if not self._is_read:
                continue
            with contextlib.suppress(KafkaAway):
                await self._appender.be_ready()
            # As it is now: what others decided meanwhile, a Config too, is not decided again.
            state = self.state
            if not self._is_read:
                continue
            try:
                await self._configure(state)
                await self._claim(state)
                await self._snapshot(state)
            except KafkaAway as error:
                self._metrics.kafka_away.inc()
                log.warning("decision not known to be in ha.log error=%s", str(error)[:300])

    async def _configure(self, state: RolesState) -> None:
        is_done = self._configured_id == self._log.topic_id
        if state.config is not None or is_done or not self._committed.is_read:
            return
        known = self._committed.roles
        generation = 1 + max(self._generation, 0 if known is None else known.generation)
        await self.append(first_config(self.config, generation=generation))
        self._configured_id = self._log.topic_id

    async def _claim(self, state: RolesState) -> None:
        place = (state.epoch, state.ticks)
        if place == self._tried:
            return
        claim = propose(state, by=self.name)
        if claim is None:
            return
        self._tried = place
        self._metrics.claims.inc()
        log.info("claim for %s epoch=%d reason=%s", claim.incarnation, state.epoch, claim.reason)
        await self.append(claim)

    async def _snapshot(self, state: RolesState) -> None:
        newest = max(state.snapshot_offset, self._snapshot_tried)
        if state.config is None or state.offset - newest < SNAPSHOT_EVERY_OFFSETS:
            return
        self._snapshot_tried = state.offset
        await self.append(snapshot_of(state))
        self._metrics.snapshots.inc()

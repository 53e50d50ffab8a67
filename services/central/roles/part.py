"""One central's part in the roles, put together from what reads, says, decides and acts.

What to do is decided by `shared.roles.acting` and `duties`; here it is done. Counting flows never
waits for any of this.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from services.central.roles.committed import Committed
from services.central.roles.duties import RolesTopics
from services.central.roles.effects import Effects
from services.central.roles.heartbeats import Heartbeats
from services.central.roles.log_keeping import LogKeeper
from services.central.roles.log_notes import LogNotes
from services.central.roles.log_reading import LogReading
from services.central.roles.metrics import RolesMetrics
from services.central.roles.role import Clocks, Progress, Role
from services.central.roles.steps import Steps
from shared.ha_append import Appender
from shared.ha_log import HaLog
from shared.health import Health
from shared.kafka import Brokers, Looks, Sent, unbroken
from shared.roles.acting import FitnessChanged, Read, Step, claim_of, handover_of
from shared.roles.fold import Folded
from shared.roles.records import Heartbeat
from shared.topics import Outgoing

log = logging.getLogger(__name__)

DEFAULT_PERIOD_MS: Final = 400


class RolesPart:
    """Runs until cancelled; everything happens in one event loop.

    role: what this central is now; committed: what primaries wrote.
    """

    def __init__(
        self,
        brokers: Brokers,
        looks: Looks,
        *,
        node: str,
        boot_id: str = "",
        told_brokers: Callable[[], str] = str,
        url: Callable[[], str],
        priority: int,
        copies_only: bool = False,
        topics: RolesTopics,
        progress: Callable[[], Progress],
        catch_up: Callable[[], Awaitable[None]],
        clocks: Clocks,
        health: Health,
        metrics: RolesMetrics,
        data_dir: Path | None = None,
    ) -> None:
        """Build without connecting.

        boot_id: of the first incarnation; one at random when empty. told_brokers: all brokers, for
        `ha.roles`; empty for those that this central began with. url: where this central's API
        answers. copies_only: it is not to be chosen. catch_up: returns once everything is applied
        that stood in the logs when it was called. data_dir: as of `OutboxSince`.
        """
        self._progress = progress
        self._metrics = metrics
        self.role = role = Role(node, boot_id=boot_id, clocks=clocks)
        self.committed = Committed(
            brokers, looks, client_id=node, topics=topics, wall_ms=clocks.wall_ms, data_dir=data_dir
        )
        self._notes = LogNotes()
        client_id, log_topic = f"{node}-ha", topics.log.name
        self._appender = Appender(brokers, client_id=client_id, topic=log_topic)
        self.reading = LogReading(
            HaLog(brokers, client_id=client_id, topic=topics.log),
            take=self._take,
            moved=self._drive,
            begin_again=self._begin_again,
            health=health,
            metrics=metrics,
        )
        self._effects = Effects(
            brokers,
            told_brokers=told_brokers,
            role=role,
            topics=topics,
            notes=self._notes,
            committed=self.committed,
            done=lambda step, promotion: self._steps.done(step, promotion),
            failed=lambda promotion: self._steps.failed(promotion),
            metrics=metrics,
        )
        self._heartbeats = Heartbeats(
            brokers,
            topic=log_topic,
            role=role,
            url=url,
            priority=priority,
            copies_only=copies_only,
            progress=progress,
            take_has_acted=self._effects.take_has_acted,
        )
        self._steps = Steps(
            role,
            # A barrier that is lost is followed by the heartbeats of the period.
            at_once={
                Step.SEND_BARRIER: self._heartbeats.send,
                Step.ANNOUNCE: self._effects.begin,
            },
            lasting={
                Step.INITIALISE: self._effects.initialise,
                Step.CATCH_UP: catch_up,
                Step.READ_OUTBOX: self._effects.read_outbox,
                Step.HAND_OVER: lambda: self._appender.append(handover_of(role.acting)),
                Step.CLAIM: lambda: self._appender.append(claim_of(role.acting)),
            },
            when_moved=self._effects.look,
            metrics=metrics,
        )
        self._keeper = LogKeeper(
            brokers,
            topic=log_topic,
            role=role,
            notes=self._notes,
            appender=self._appender,
            is_following=lambda: self.reading.is_following,
        )

    async def commit(self, records: Sequence[Outgoing]) -> list[Sent]:
        """Write `records` in a transaction of the primary. Raises NotPrimary, KafkaAway."""
        return await self._effects.commit(records)

    def delivered(self, key: str) -> None:
        """Note that the notice `key` left the house, to be written down."""
        self._effects.delivered(key)

    async def run(self) -> None:
        """Take part until cancelled; ends by an exception only where the fault is ours."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._heartbeats.run())
                group.create_task(self.committed.run())
                group.create_task(self.reading.run())
                group.create_task(self._keeper.run())
                group.create_task(self._beat())
        finally:
            # Whoever stops this may cancel it again before all connections are closed.
            await unbroken(self._end)

    async def _end(self) -> None:
        await self._steps.stop()
        await self._effects.stop()
        await self._appender.stop()
        await self.reading.log.stop()

    def _take(self, folded: Folded) -> None:
        role, record, state = self.role, folded.record, folded.state
        now_s = role.clocks.boot_s()
        self._notes.take(folded, now_s=now_s)
        if state.epoch != folded.before.epoch:
            log.info("epoch=%d primary=%s reason=%s", state.epoch, state.holder, state.reason)
        if isinstance(record, Heartbeat) and record.incarnation == role.acting.incarnation:
            sent_at_s = role.acting.sent.get(record.number)
            if sent_at_s is not None:
                self._metrics.read_back_s.observe(now_s - sent_at_s)
        (role.note if self.reading.is_following else role.note_past)(Read(record, state))

    def _drive(self) -> None:
        self.role.arrive()
        self._notes.forget_copied(self.committed.tail)
        self._steps.drive()

    def _begin_again(self) -> None:
        self._notes.clear()
        self._effects.begin_again()
        self._steps.begin_again()
        self._keeper.begin_again()
        self.role.begin_again()

    async def _beat(self) -> None:
        role = self.role
        while True:
            config = role.state.config
            await asyncio.sleep((config.period_ms if config else DEFAULT_PERIOD_MS) / 1000)
            if not self.reading.is_following:
                continue
            is_fit = self._progress().is_fit
            if is_fit is not role.acting.is_fit:
                role.note(FitnessChanged(is_fit))
                self._drive()
            if config is not None:
                self._heartbeats.send()
            self._measure()

    def _measure(self) -> None:
        metrics = self._metrics
        metrics.epoch.set(self.role.state.epoch)
        metrics.is_primary.set(self.role.is_primary)
        metrics.lost_heartbeats.set(self._heartbeats.lost)
        metrics.refused_records.set(self.reading.log.refused + self.committed.outbox.refused)

"""Keeps `ha.log` short: snapshots for those who begin later, and what they spare is deleted."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from services.central.roles.deletable import deletable_before
from services.central.roles.log_notes import LogNotes
from services.central.roles.role import Role
from shared.ha_append import Appender
from shared.kafka import Brokers, KafkaAway, delete_records
from shared.roles.snapshot import snapshot_of

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
SNAPSHOT_EVERY: Final = 1_100
"""Registries write one after 1,000 records; this is for days without a registry."""
STANDBY_LATER: Final = 100
"""A standby waits for so many more: it is for days without a primary."""


class LogKeeper:
    """Every central writes the snapshots that nobody wrote; only a primary deletes."""

    def __init__(
        self,
        brokers: Brokers,
        *,
        topic: str,
        role: Role,
        notes: LogNotes,
        appender: Appender,
        is_following: Callable[[], bool],
        snapshot_every: int = SNAPSHOT_EVERY,
    ) -> None:
        """is_following: whether the log was read to its end; snapshot_every: in offsets."""
        self._brokers = brokers
        self._topic = topic
        self._role = role
        self._notes = notes
        self._appender = appender
        self._is_following = is_following
        self._snapshot_every = snapshot_every
        self._tried_offset = -1
        self._begins_at = 0

    async def run(self) -> None:
        """Look after the log until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            if not self._is_following():
                continue
            try:
                await self._appender.be_ready()
                await self.look()
            except KafkaAway as error:
                log.warning("ha.log is not kept short: %s", error)

    async def look(self) -> None:
        """Do what is due. Raises KafkaAway."""
        await self._write_snapshot()
        await self._delete()

    def begin_again(self) -> None:
        """Forget the log that was."""
        self._tried_offset, self._begins_at = -1, 0

    async def _write_snapshot(self) -> None:
        state = self._role.state
        if state.config is None:
            return
        newest = max(state.snapshot_offset, self._tried_offset)
        later = 0 if self._role.is_primary else STANDBY_LATER
        if state.offset - newest >= self._snapshot_every + later:
            self._tried_offset = state.offset
            await self._appender.append(snapshot_of(state))

    async def _delete(self) -> None:
        if not self._role.is_primary:
            return
        notes = self._notes
        before = deletable_before(notes.snapshots, first_uncopied=notes.first_uncopied)
        if before is None or before <= self._begins_at:
            return
        await delete_records(self._brokers, self._topic, before_offset=before)
        log.info("ha.log begins at offset=%d", before)
        self._begins_at = before

"""The loop that reads `ha.log`, over everything that may come between."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from services.central.roles.metrics import RolesMetrics
from shared.backoff import waits
from shared.ha_log import HaLog, LogRemade, LogUnreadable
from shared.health import Health
from shared.kafka import KafkaAway, TopicRefused
from shared.roles.fold import Folded, FutureFold

log = logging.getLogger(__name__)

AGAIN_S: Final = 0.1
SLOW_PAUSE_S: Final = 5.0


class LogReading:
    """Gives each record to `take`, calls `moved` after some, `begin_again` before another log.

    is_following: it has read to the log's end, and goes on.
    """

    def __init__(
        self,
        ha_log: HaLog,
        *,
        take: Callable[[Folded], None],
        moved: Callable[[], None],
        begin_again: Callable[[], None],
        health: Health,
        metrics: RolesMetrics,
    ) -> None:
        """Build without connecting."""
        self.log = ha_log
        self._take = take
        self._moved = moved
        self._begin_again = begin_again
        self._health = health
        self._metrics = metrics
        self.is_following = False

    async def run(self) -> None:
        """Read until cancelled."""
        pauses = waits(longest_s=2.0)
        while True:
            try:
                await self.log.start(self._take)
                self.is_following = True
                self._health.note("roles", None)
                self._moved()
                pauses = waits(longest_s=2.0)
                await self._read_on()
            except KafkaAway as error:
                self._away(error)
            except LogRemade as error:
                log.error("roles begin again: %s", error)
                self._begin_again()
            except (LogUnreadable, FutureFold, TopicRefused) as error:
                self._health.note("roles", str(error))
                log.error("takes no part in the roles: %s", error)
                self._begin_again()
                await asyncio.sleep(SLOW_PAUSE_S)
            self.is_following = False
            await asyncio.sleep(next(pauses))

    async def _read_on(self) -> None:
        while True:
            try:
                records = await self.log.fetch()
            except KafkaAway as error:
                self._away(error)
                await asyncio.sleep(AGAIN_S)
                continue
            for folded in records:
                self._take(folded)
            if records:
                self._moved()

    def _away(self, error: KafkaAway) -> None:
        self._metrics.kafka_away.inc()
        log.warning("ha.log not read, tried again error=%s", error)

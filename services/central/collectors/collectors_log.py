"""Follows topic `collectors` into the list of collectors."""

import logging
from collections.abc import Callable
from functools import partial

from services.central.collectors.listing import Heard, Listing, silent
from services.central.collectors.metrics import CollectorsMetrics
from shared.collectors import CollectorRecordError, decode_collector
from shared.follow import Follower
from shared.kafka import Brokers, Record
from shared.topics import Topic

log = logging.getLogger(__name__)


class CollectorsLog:
    """The list of collectors, and the loop that keeps it."""

    def __init__(
        self,
        *,
        brokers: Brokers,
        topic: Topic,
        client_id: str,
        metrics: CollectorsMetrics,
        now_ms: Callable[[], int],
    ) -> None:
        """Build without connecting. now_ms: wall clock, UTC."""
        self._follower = Follower(brokers, client_id=client_id, topic=topic, take=self._take)
        self._metrics = metrics
        self._now_ms = now_ms
        self._listing = Listing()
        metrics.workers.labels("heard").set_function(partial(self._count, is_silent=False))
        metrics.workers.labels("silent").set_function(partial(self._count, is_silent=True))

    async def run(self) -> None:
        """Follow until cancelled."""
        await self._follower.run()

    def known(self) -> list[Heard]:
        """Return every worker that was heard within a week, by name."""
        return self._listing.at(self._now_ms())

    def heard_names(self) -> set[str]:
        """Return the names of the collectors that are heard now."""
        now_ms = self._now_ms()
        return {each.record.collector for each in self.known() if not silent(each, now_ms)}

    def _count(self, *, is_silent: bool) -> int:
        return self._listing.count(self._now_ms(), is_silent=is_silent)

    def _take(self, record: Record) -> None:
        try:
            found = decode_collector(record.key, record.value)
        except CollectorRecordError as error:
            self._metrics.refused.inc()
            log.warning("record of collectors refused offset=%d: %s", record.offset, error)
            return
        heard_ms = self._now_ms()
        if record.offset < self._follower.end_offset:
            # It came before we read, by its collector's clock, which may be wrong; of what comes
            # while we read, ours says when.
            heard_ms = min(heard_ms, record.timestamp_ms)
        self._listing.hear(found, heard_ms)

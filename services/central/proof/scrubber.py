"""Computes the digests again, the last hour always, and publishes where a period has changed."""

import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial

from services.central.metrics import CentralMetrics
from services.central.proof.checking import DAY_MS, check_periods
from services.central.proof.ledger import Ledger
from services.central.proof.repairing import Thread
from services.central.proof.scrub_order import Chunk, ScrubOrder, pause_s
from services.central.proof.sender import Sender
from services.central.store.proof_rows import ProofRows
from shared.digest_records import HOUR, MINUTE, PERIOD_MS, Found, Period, PeriodDigest
from shared.settings_events import RetentionSet

log = logging.getLogger(__name__)

IDLE_S = 0.5
PAUSE_S_MIN = 0.01


class Scrubber:
    """One chunk a turn. order: how far it is, and how long its rounds take."""

    def __init__(
        self,
        rows: ProofRows,
        sender: Sender,
        *,
        ledger: Callable[[], Ledger],
        in_proof_thread: Thread,
        is_closed: Callable[[Period], bool],
        under_repair: Callable[[], Collection[Period]],
        retention: Callable[[], RetentionSet | None],
        now_ms: Callable[[], int],
        monotonic_s: Callable[[], float],
        metrics: CentralMetrics,
    ) -> None:
        """is_closed: whether the store must hold a period by now; the others as of ProofPart."""
        self._rows = rows
        self._sender = sender
        self._ledger = ledger
        self._in_proof_thread = in_proof_thread
        self._is_closed = is_closed
        self._under_repair = under_repair
        self._retention = retention
        self._now_ms = now_ms
        self._monotonic_s = monotonic_s
        self._metrics = metrics.proof
        self.order = ScrubOrder()

    async def turn(self) -> float:
        """Look at the next chunk; how long to rest, s. Raises StoreAway, KafkaAway, SendRefused."""
        ledger, retention = self._ledger(), self._retention()
        if retention is None:
            return IDLE_S
        chunk = self.order.next(
            lambda: ledger.own, newest_ms=ledger.newest_ms(), now_s=self._monotonic_s()
        )
        self._show()
        if chunk is None:
            return IDLE_S
        expected = self._expected(ledger, chunk)
        if not expected:
            return 0.0
        began_s = self._monotonic_s()
        # The day that is dropped next may be gone before it is read.
        raw_from_ms = (self._now_ms() // DAY_MS - retention.raw_days + 1) * DAY_MS
        found = await self._in_proof_thread(
            partial(check_periods, self._rows, chunk.stream, expected, raw_from_ms=raw_from_ms)
        )
        worked_s = self._monotonic_s() - began_s
        self._metrics.scrubbed.inc(len(expected))
        self._metrics.scrub_s.inc(worked_s)
        await self._tell(ledger, expected, found)
        return max(PAUSE_S_MIN, pause_s(worked_s))

    def _expected(self, ledger: Ledger, chunk: Chunk) -> list[PeriodDigest]:
        end_ms = chunk.hour_ms + PERIOD_MS[HOUR]
        starts = range(chunk.minutes_from_ms, end_ms, PERIOD_MS[MINUTE])
        periods = [Period(chunk.stream, MINUTE, at) for at in starts]
        periods += [Period(chunk.stream, HOUR, chunk.hour_ms)]
        repaired = self._under_repair()
        return [
            record
            for period in periods
            if (record := ledger.own.get(period)) is not None
            and self._is_closed(period)
            and not _touched(period, repaired)
        ]

    async def _tell(
        self, ledger: Ledger, expected: list[PeriodDigest], found: dict[Period, Found | None]
    ) -> None:
        repaired = self._under_repair()
        news = [
            replace(record, found=found[record.period])
            for record in expected
            if found[record.period] != record.found
            # A repair that came between has closed it anew.
            and ledger.own.get(record.period) == record
            and not _touched(record.period, repaired)
        ]
        await self._sender.send(news)

    def _show(self) -> None:
        self._metrics.cycle_s.labels("last hour").set(self.order.found_within_s or 0.0)
        self._metrics.cycle_s.labels("older").set(self.order.older_found_within_s or 0.0)


def _touched(period: Period, repaired: Collection[Period]) -> bool:
    """Tell whether a repair may be changing the period: its own, or that of a minute in it."""
    return any(
        each.stream == period.stream
        and each.starts_ms < period.ends_ms
        and period.starts_ms < each.ends_ms
        for each in repaired
    )

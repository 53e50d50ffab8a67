"""Carries out the repairs that are noted, one after the other, until each is finished."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from sqlalchemy.exc import DBAPIError

from services.central.metadata.database import is_away
from services.central.metadata.repairs import Repair, Repairs
from services.central.metrics import CentralMetrics
from services.central.proof.choosing import RepairRefused
from services.central.proof.repairing import Repaired, Repairer, RepairFailed
from services.central.proof.sender import Sender
from services.central.store.errors import StoreAway, StoreError
from shared.backoff import waits
from shared.digest_records import Period
from shared.kafka import KafkaAway, PositionLost, SendRefused

log = logging.getLogger(__name__)

ATTEMPTS = 5
"""Of a repair after which the store was not as it should be, before a person has to look."""
AWAY = (StoreAway, KafkaAway, PositionLost, SendRefused)


class RepairQueue:
    """What is under repair."""

    def __init__(
        self,
        repairs: Repairs,
        repairer: Repairer,
        sender: Sender,
        *,
        read_to: Callable[[int], Awaitable[None]],
        now_ms: Callable[[], int],
        metrics: CentralMetrics,
    ) -> None:
        """Read from the database what an earlier process left.

        read_to: returns once the topic is read up to an offset. now_ms: wall clock, UTC.
        """
        self._repairs = repairs
        self._repairer = repairer
        self._sender = sender
        self._read_to = read_to
        self._now_ms = now_ms
        self._metrics = metrics.proof
        self._wake = asyncio.Event()
        self._waiting = {each.period: each for each in repairs.unfinished()}
        self._begun = set(self._waiting)

    @property
    def periods(self) -> list[Period]:
        """What is under repair, in order; any thread."""
        return sorted(self._waiting.copy())

    async def note(self, periods: Iterable[Period]) -> list[Repair]:
        """Note a repair of each period and return those that wait now, the earlier ones too."""
        wanted = list(periods)
        noted = await asyncio.to_thread(self._repairs.note, wanted, self._now_ms())
        self._waiting |= {each.period: each for each in noted}
        self._wake.set()
        return [self._waiting[period] for period in wanted if period in self._waiting]

    async def newest(self, count: int, *, since: int = 0) -> list[Repair]:
        """Return the newest repairs, as `Repairs` does."""
        return await asyncio.to_thread(partial(self._repairs.newest, count, since=since))

    async def run(self) -> None:
        """Repair until cancelled."""
        while True:
            while self._waiting:
                await self._finish_one(next(iter(self._waiting.values())))
            self._wake.clear()
            await self._wake.wait()

    async def _finish_one(self, repair: Repair) -> None:
        failures = 0
        for wait_s in waits(first_s=0.2, longest_s=10.0):
            try:
                if repair.period in self._begun:
                    repair = await asyncio.to_thread(self._repairs.begin_again, repair)
                    self._waiting[repair.period] = repair
                self._begun.add(repair.period)
                label, outcome = await self._attempt(repair)
                await asyncio.to_thread(self._repairs.finish, repair, outcome, self._now_ms())
            except AWAY as error:
                log.warning("repair waits number=%d error=%s", repair.number, str(error)[:300])
            except DBAPIError as error:
                if not is_away(error):
                    raise
                log.warning("repair waits number=%d error=%s", repair.number, error.orig)
            except (RepairFailed, StoreError) as error:
                failures += 1
                log.error("repair failed number=%d error=%s", repair.number, str(error)[:300])
                if failures == ATTEMPTS:
                    outcome = f"failed: {str(error).partition(chr(10))[0]}"
                    await asyncio.to_thread(self._repairs.finish, repair, outcome, self._now_ms())
                    self._done(repair, "failed", outcome)
                    return
            else:
                self._done(repair, label, outcome)
                return
            await asyncio.sleep(wait_s)

    async def _attempt(self, repair: Repair) -> tuple[str, str]:
        """Return how it ended, for the metric and as a sentence."""
        try:
            done: Repaired = await self._repairer.run(repair)
        except RepairRefused as refusal:
            return "refused", f"refused: {refusal}"
        # The scrub must not compare what is closed anew with what was said before.
        await self._read_to(await self._sender.send(done.records))
        return "repaired", done.outcome

    def _done(self, repair: Repair, label: str, outcome: str) -> None:
        self._metrics.repairs.labels(label).inc()
        self._waiting.pop(repair.period, None)
        self._begun.discard(repair.period)
        log.info(
            "repair ended number=%d stream=%016x starts_ms=%d outcome=%s",
            repair.number, repair.period.stream, repair.period.starts_ms, outcome,
        )  # fmt: skip

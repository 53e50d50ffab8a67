"""Getting a snapshot of a central that acts, and giving it back."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Final

from services.standby.central_here import CentralHere
from services.standby.centrals import Central, Centrals
from services.standby.config import StandbyConfig
from services.standby.copy_time import Copying, judge, time_for
from services.standby.download import download
from services.standby.joining import Copied, Event, Joining, SnapshotLost, SnapshotMade
from services.standby.kafka_here import KafkaHere
from services.standby.pace import Progress
from services.standby.preflight import Light
from services.standby.primary import (
    Damaged,
    DownloadError,
    Options,
    Refused,
    Unreachable,
    ask,
    release,
)
from services.standby.step_errors import StepFailed, StepRefused
from shared.snapshot import Manifest

log = logging.getLogger(__name__)

GONE_S: Final = 600.0
"""A central that is away for so long is not waited for when another one acts: a copy begins anew,
as another central's files are others; a machine that starts again is back sooner."""
GIVEN_UP_MAX: Final = 3
"""So many snapshots in a row that are of no use are no accident."""
RELEASE_TRIES: Final = 2
"""It goes after a day by itself."""


class Copies:
    """The snapshot of one join. All of it may be done again."""

    def __init__(
        self,
        config: StandbyConfig,
        centrals: Centrals,
        kafka: KafkaHere,
        central: CentralHere,
        now_ms: Callable[[], int],
        options: Options,
    ) -> None:
        """Ask nothing yet. central: for which it is. now_ms, options: as of `Steps`."""
        self._config = config
        self._centrals = centrals
        self._kafka = kafka
        self._central = central
        self._now_ms = now_ms
        self._now_s = options.now_s
        self._options = replace(options, limit=config.copy_bytes_per_s or None)
        self._away_since_s: float | None = None

    async def ask(self, joining: Joining) -> SnapshotMade:
        """Have one made by the central that acts. Raises StepRefused, DownloadError, NobodyActs."""
        source = await self._centrals.to_copy()
        if joining.snapshot:
            # Kept there, it would be offered again. Whoever is asked now is reached, so it goes.
            with contextlib.suppress(DownloadError):
                await self.release(joining)
        async with self._centrals.client(source.url) as client:
            try:
                asked = await ask(client, made_for=self._config.name, options=self._options)
            except Refused as error:
                raise _of_refusal(error) from error
        return SnapshotMade(asked.url, asked.made_at_ms, source.url)

    async def copy(self, joining: Joining, progress: Callable[[Event], None]) -> Event:
        """Bring it here. Raises as `ask` does, NotGiven, TlsError, and OSError of the disk here."""
        await self._kafka.look(self._kafka.brokers(), self._now_ms())
        age_s = self._age_s(joining)
        if time_for(age_s, kafka_s=self._kafka.keeps_s) <= 0 and not joining.is_forced:
            return self._given_up(joining, "the snapshot is too old to be copied in time")
        try:
            manifest = await self._download(joining, progress)
        except Damaged as error:
            return self._given_up(joining, str(error))
        except Unreachable as error:
            return await self._without(self._source(joining), error)
        except Refused as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return SnapshotLost(str(error))
            raise _of_refusal(error) from error
        if joining.again:
            await asyncio.to_thread(self._central.replace_store, manifest.id)
        total = manifest.total_bytes
        return Copied(total, total, is_whole=True)

    async def release(self, joining: Joining) -> None:
        """Tell the central that has it that it is needed no more. Raises DownloadError."""
        options = replace(self._options, tries=RELEASE_TRIES)
        async with self._centrals.client(self._source(joining)) as client:
            await release(client, joining.snapshot, options=options)

    async def _download(self, joining: Joining, progress: Callable[[Event], None]) -> Manifest:
        options = replace(self._options, on_progress=self.watched(joining, progress))
        folder = self._central.restore_folder
        async with self._centrals.client(self._source(joining)) as client:
            return await download(client, joining.snapshot, folder, options=options)

    def watched(
        self, joining: Joining, progress: Callable[[Event], None]
    ) -> Callable[[Progress], None]:
        """Return what tells of the copy, and raises StepRefused when it cannot end in time."""
        began_s, began_bytes = self._now_s(), -1

        def tell(now: Progress) -> None:
            nonlocal began_bytes
            if began_bytes < 0:
                began_bytes = now.done_bytes
            came_bytes = max(0, now.done_bytes - began_bytes)
            if came_bytes:
                self._away_since_s = None
            light, text = judge(
                Copying(
                    now.done_bytes,
                    now.total_bytes,
                    came_bytes,
                    self._now_s() - began_s,
                    self._age_s(joining),
                ),
                kafka_s=self._kafka.keeps_s,
            )
            if light is Light.RED and not joining.is_forced:
                raise StepRefused(f"the copy would not end in time: {text}")
            progress(
                Copied(
                    now.done_bytes,
                    now.total_bytes,
                    bytes_per_s=now.rate,
                    eta_s=now.eta_s,
                    pace=text,
                    pace_light=light.value,
                )
            )

        return tell

    def _source(self, joining: Joining) -> str:
        return joining.snapshot_at or self._centrals.joined

    def _age_s(self, joining: Joining) -> float:
        return max(0, self._now_ms() - joining.snapshot_ms) / 1000

    def _given_up(self, joining: Joining, why: str) -> SnapshotLost:
        if joining.given_up + 1 >= GIVEN_UP_MAX:
            raise StepRefused(
                f"{GIVEN_UP_MAX} snapshots in a row were of no use, {why}: look at the disk of "
                f"{self._source(joining)} and at the link, then join again"
            )
        return SnapshotLost(why, is_kept=True)

    async def _without(self, url: str, error: Unreachable) -> SnapshotLost:
        """Return that another snapshot is needed, once its central counts as gone for good."""
        if self._away_since_s is None:
            self._away_since_s = self._now_s()
        acting: Central = await self._centrals.to_copy()
        if acting.url == url:
            self._away_since_s = None
            raise error
        if self._now_s() - self._away_since_s < GONE_S:
            raise StepFailed(
                f"{url} is away: when it stays so for {GONE_S / 60:.0f} min, {acting.url} is asked "
                "for another copy"
            ) from error
        self._away_since_s = None
        log.warning("copies from another central url=%s before=%s", acting.url, url)
        return SnapshotLost(f"{url} is gone, {acting.url} is asked for another copy")


def _of_refusal(error: Refused) -> Exception:
    return StepFailed(str(error)) if error.passes else StepRefused(str(error))

"""The snapshots that a central keeps for those who download them.

A snapshot holds on to disk: what the store merges or drops meanwhile stays. So there are few, one
for each who asked, each for a day at most, and none when the disk runs short. A ready one outlives
the process; what a killed one left half made goes at the next start.
"""

import asyncio
import logging
import os
import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from services.central.snapshot.making import Origin, make, remove_leftovers
from services.central.store.disk import FREE_BYTES
from services.central.store.errors import StoreError
from shared.snapshot import Manifest, SnapshotError, SnapshotFile
from shared.snapshot_folder import read_manifest

log = logging.getLogger(__name__)

KEPT_MAX: Final = 4
KEPT_MS: Final = 24 * 3_600_000
LOW_DISK_BYTES: Final = 2 * FREE_BYTES
"""Below it snapshots are given up, before inserts must wait for space."""
LOOK_S: Final = 30.0


class State(StrEnum):
    """How far a snapshot is."""

    MAKING = "making"
    READY = "ready"
    FAILED = "failed"


class SnapshotRefused(Exception):
    """A snapshot that cannot be made here or now; the text is one sentence."""


class SnapshotNotNow(SnapshotRefused):
    """A refusal that passes by itself."""


class NoSuchSnapshot(Exception):
    """A snapshot that is not kept, or a file that is not in it; the text is one sentence."""


class _Released(Exception):
    """Nobody wants the snapshot any more that is being made."""


@dataclass(slots=True, kw_only=True)
class Kept:
    """One snapshot. Written by the thread that makes it until it is no more MAKING.

    step: what is being done; done_bytes of total_bytes are hashed; why: it failed.
    """

    id: str
    made_for: str
    made_at_ms: int
    state: State = State.MAKING
    step: str = ""
    done_bytes: int = 0
    total_bytes: int = 0
    why: str = ""
    manifest: Manifest | None = None
    files: dict[str, SnapshotFile] | None = None
    is_released: bool = False


def _free_bytes(path: Path) -> int:
    disk = os.statvfs(path)
    return disk.f_bavail * disk.f_frsize


class Snapshots:
    """All snapshots of this central. Its methods belong to the event loop and never block."""

    def __init__(
        self,
        origin: Origin | None,
        folder: Path,
        *,
        now_ms: Callable[[], int],
        new_id: Callable[[], str],
        free_bytes: Callable[[Path], int] = _free_bytes,
        released: Callable[[str], None] = lambda why: None,
    ) -> None:
        """folder: holds one folder for each. origin: None where store or metadata are by URL.

        new_id: 16 hex digits, another one at each call. `open` takes up what is there. released:
        told of each one that goes, and why in a word.
        """
        self._origin = origin
        self._folder = folder
        self._now_ms = now_ms
        self._new_id = new_id
        self._free_bytes = free_bytes
        self._released = released
        self._kept: dict[str, Kept] = {}
        # One at a time: each reads the whole store.
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="snapshot")

    def open(self) -> None:
        """Keep what is whole and remove what a killed process left. Blocks."""
        if self._origin is None:
            return
        if self._origin.store.exists():
            remove_leftovers(self._origin)
        for folder in sorted(self._folder.glob("*")):
            try:
                manifest = read_manifest(folder)
            except SnapshotError:
                shutil.rmtree(folder, ignore_errors=True)
                continue
            self._kept[manifest.id] = _ready(manifest)

    def close(self) -> None:
        """Give up what is being made; what is ready stays. Blocks until its thread ends."""
        for kept in self._kept.values():
            kept.is_released = kept.is_released or kept.state is State.MAKING
        # What waits in line are removals, and makings that end at their first step.
        self._maker.shutdown()

    def all(self) -> list[Kept]:
        """Return every snapshot, oldest first."""
        return sorted(self._kept.values(), key=lambda kept: kept.made_at_ms)

    def get(self, snapshot_id: str) -> Kept:
        """Return one snapshot. Raises NoSuchSnapshot."""
        try:
            return self._kept[snapshot_id]
        except KeyError:
            raise NoSuchSnapshot(
                "there is no such snapshot: it was released, or its day is over"
            ) from None

    def file(self, snapshot_id: str, name: str) -> tuple[Path, SnapshotFile]:
        """Return where a file of a ready snapshot lies, and what it holds.

        Raises NoSuchSnapshot. Only a name of the manifest is ever looked up on disk.
        """
        kept = self.get(snapshot_id)
        file = (kept.files or {}).get(name)
        if file is None:
            raise NoSuchSnapshot("the snapshot has no such file")
        return self._place(kept) / file.name, file

    def ask(self, made_for: str) -> tuple[Kept, bool]:
        """Return the snapshot for `made_for`, and whether it is a new one. Raises SnapshotRefused.

        Who asks again gets the one it has, so that a download goes on; one that failed is replaced.
        """
        if self._origin is None:
            raise SnapshotRefused(
                "store or metadata are on a server by URL: make that server's own backup and "
                "start the standby from its result"
            )
        for kept in list(self._kept.values()):
            if kept.made_for == made_for and kept.state is not State.FAILED:
                return kept, False
            if kept.made_for == made_for:
                self.release(kept.id, why="replaced")
        if len(self._kept) >= KEPT_MAX:
            raise SnapshotNotNow(f"{KEPT_MAX} snapshots are kept: release one of them first")
        if self._free_bytes(self._origin.store) < LOW_DISK_BYTES:
            raise SnapshotNotNow(
                f"a snapshot needs {LOW_DISK_BYTES >> 20} MiB of free disk under the store"
            )
        kept = Kept(id=self._new_id(), made_for=made_for, made_at_ms=self._now_ms())
        self._kept[kept.id] = kept
        self._maker.submit(self._make, kept, self._origin)
        return kept, True

    def release_all_of(self, made_for: str) -> None:
        """Release what a central asked for that comes for it no more."""
        for kept in self.all():
            if kept.made_for == made_for:
                self.release(kept.id)

    def release(self, snapshot_id: str, *, why: str = "asked") -> None:
        """Forget a snapshot and remove its files. Raises NoSuchSnapshot."""
        kept = self.get(snapshot_id)
        del self._kept[snapshot_id]
        kept.is_released = True
        # In the maker's thread, so behind the making.
        self._maker.submit(shutil.rmtree, self._place(kept), ignore_errors=True)
        self._released(why)
        log.info("snapshot released id=%s for=%s why=%s", kept.id, kept.made_for, why)

    def expire(self) -> None:
        """Release what is older than a day, and the oldest while the disk is short."""
        now_ms = self._now_ms()
        for kept in self.all():
            if now_ms - kept.made_at_ms > KEPT_MS:
                self.release(kept.id, why="a day")
        oldest = next(iter(self.all()), None)
        if oldest and self._origin and self._free_bytes(self._origin.store) < LOW_DISK_BYTES:
            log.warning("snapshot given up, the disk is short id=%s", oldest.id)
            self.release(oldest.id, why="disk")

    async def run(self) -> None:
        """Let snapshots expire, until cancelled."""
        while True:
            self.expire()
            await asyncio.sleep(LOOK_S)

    def _place(self, kept: Kept) -> Path:
        return self._folder / kept.id

    def _make(self, kept: Kept, origin: Origin) -> None:
        def before_step(step: str) -> None:
            kept.step = step
            if kept.is_released:
                raise _Released

        def on_bytes(done: int, total: int) -> None:
            kept.done_bytes, kept.total_bytes = done, total
            if kept.is_released:
                raise _Released

        try:
            manifest = make(
                origin,
                self._place(kept),
                snapshot_id=kept.id,
                made_for=kept.made_for,
                made_at_ms=kept.made_at_ms,
                before_step=before_step,
                on_bytes=on_bytes,
            )
        except _Released:
            self._tidy(kept, origin)
        except (StoreError, OSError, sqlite3.Error) as error:
            self._tidy(kept, origin)
            kept.why = f"{kept.step}: {error}".partition("\n")[0][:300]
            kept.state = State.FAILED
            log.warning("snapshot failed id=%s error=%s", kept.id, kept.why)
        else:
            kept.files = {file.name: file for file in manifest.files}
            kept.manifest = manifest
            kept.state = State.READY
            log.info("snapshot made id=%s bytes=%d", kept.id, manifest.total_bytes)

    def _tidy(self, kept: Kept, origin: Origin) -> None:
        shutil.rmtree(self._place(kept), ignore_errors=True)
        try:
            remove_leftovers(origin)
        except StoreError as error:
            log.warning("snapshot leaves something behind id=%s error=%s", kept.id, error)


def _ready(manifest: Manifest) -> Kept:
    return Kept(
        id=manifest.id,
        made_for=manifest.made_for,
        made_at_ms=manifest.made_at_ms,
        state=State.READY,
        done_bytes=manifest.total_bytes,
        total_bytes=manifest.total_bytes,
        manifest=manifest,
        files={file.name: file for file in manifest.files},
    )

"""Downloading a primary's snapshot: it goes on after any interruption, and checks every byte.

The folder that comes out is what a central with an empty store restores from `data_dir/restore`.
A file is NAME.part until its sha256 was found right; the mark `complete` comes last.
"""

import asyncio
import os
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import quote

import httpx

from services.standby.pace import Meter, Pace, Progress
from services.standby.primary import (
    REPORT_S,
    BrokeOff,
    Damaged,
    Options,
    Unreachable,
    error_of,
    fetch,
)
from shared.backoff import waits
from shared.snapshot import (
    COMPLETE,
    MANIFEST,
    Manifest,
    SnapshotError,
    SnapshotFile,
    decode_manifest,
    encode_manifest,
)
from shared.snapshot_folder import check_file, mark_complete, read_manifest, write_whole

DAMAGED_MAX: Final = 3
"""Times that one file may arrive with another sha256."""


async def download(
    client: httpx.AsyncClient, url: str, folder: Path, *, options: Options
) -> Manifest:
    """Bring the snapshot at path `url` into `folder`, and mark it complete; return its manifest.

    Called again after any interruption it goes on where it was; files of an older snapshot that
    are the same are kept, others removed. client: as of `ask`. Raises DownloadError, and
    OSError where its own disk fails.
    """
    try:
        manifest = decode_manifest(await fetch(client, f"{url}/manifest", options))
    except SnapshotError as error:
        raise Damaged(str(error)) from error
    await asyncio.to_thread(_prepare, folder, manifest)
    loading = _Loading(client, url, folder, manifest, options)
    await loading.run()
    await asyncio.to_thread(mark_complete, folder)
    return manifest


class _Loading:
    """One run of a download."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        folder: Path,
        manifest: Manifest,
        options: Options,
    ) -> None:
        self._client = client
        self._url = url
        self._folder = folder
        self._manifest = manifest
        self._options = options
        self._pace = Pace(options.limit)
        self._meter = Meter(manifest.total_bytes)
        self._done_files = 0
        self._reported_s = -REPORT_S

    async def run(self) -> None:
        missing = []
        for file in self._manifest.files:
            if _size(self._folder / file.name) == file.size_bytes != 0:
                self._meter.done_bytes += file.size_bytes
                self._done_files += 1
            else:
                self._meter.done_bytes += _size(_part(self._folder / file.name))
                missing.append(file)
        self._report(at_once=True)
        rest = iter(missing)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._options.at_once):
                    group.create_task(self._work(rest))
        except ExceptionGroup as failed:
            # The first says enough, and the others were cancelled for it.
            raise failed.exceptions[0] from None
        self._report(at_once=True)

    async def _work(self, rest: Iterable[SnapshotFile]) -> None:
        for file in rest:
            await self._bring(file)
            self._done_files += 1
            self._report()

    async def _bring(self, file: SnapshotFile) -> None:
        """Bring one file through any number of interruptions."""
        target = self._folder / file.name
        part = _part(target)
        part.parent.mkdir(parents=True, exist_ok=True)
        fruitless = damaged = 0
        pauses = waits(first_s=0.2, longest_s=10.0)
        while True:
            before_bytes = _size(part)
            try:
                if before_bytes < file.size_bytes or not part.exists():
                    await self._get(file, part, before_bytes)
                await asyncio.to_thread(_finish, part, target, file)
                return
            except BrokeOff as error:
                if _size(part) > before_bytes:
                    fruitless, pauses = 0, waits(first_s=0.2, longest_s=10.0)
                fruitless += 1
                if fruitless >= self._options.tries:
                    raise Unreachable(f"{file.name}: {error}, {fruitless} times in a row") from None
            except SnapshotError as error:
                damaged += 1
                self._meter.done_bytes -= _size(part)
                part.unlink(missing_ok=True)
                if damaged >= DAMAGED_MAX:
                    raise Damaged(f"{error}, {damaged} times in a row") from None
            await self._options.sleep(next(pauses))

    async def _get(self, file: SnapshotFile, part: Path, have_bytes: int) -> None:
        """Add to `part` what it lacks. Raises BrokeOff, Refused."""
        headers = {"Accept-Encoding": "identity"}
        if have_bytes:
            headers |= {"Range": f"bytes={have_bytes}-", "If-Range": f'"{file.sha256}"'}
        url = f"{self._url}/files/{quote(file.name)}"
        try:
            async with self._client.stream("GET", url, headers=headers) as answer:
                if answer.status_code not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
                    await answer.aread()
                    raise error_of(answer)
                is_rest = answer.status_code == HTTPStatus.PARTIAL_CONTENT
                if is_rest and not answer.headers.get("content-range", "").startswith(
                    f"bytes {have_bytes}-"
                ):
                    raise BrokeOff("another range came than was asked for")
                if not is_rest:
                    self._meter.done_bytes -= have_bytes
                    have_bytes = 0
                with part.open("ab" if is_rest else "wb") as output:
                    # As it comes: whole chunks would lose what came before a break.
                    async for piece in answer.aiter_raw():
                        # What is too much would only be found out at the end.
                        piece = piece[: file.size_bytes - have_bytes]
                        output.write(piece)
                        have_bytes += len(piece)
                        await self._took(len(piece))
        except httpx.HTTPError as error:
            raise BrokeOff(f"the primary broke off ({type(error).__name__})") from error
        if have_bytes < file.size_bytes:
            raise BrokeOff("the primary ended before the file did")

    async def _took(self, count: int) -> None:
        self._meter.done_bytes += count
        self._report()
        wait_s = self._pace.wait_s(count, self._options.now_s())
        if wait_s > 0:
            await self._options.sleep(wait_s)

    def _report(self, *, at_once: bool = False) -> None:
        now_s = self._options.now_s()
        if not at_once and now_s - self._reported_s < REPORT_S:
            return
        self._reported_s = now_s
        rate = self._meter.rate(now_s)
        left_bytes = self._meter.total_bytes - self._meter.done_bytes
        self._options.on_progress(
            Progress(
                phase="download",
                done_bytes=self._meter.done_bytes,
                total_bytes=self._meter.total_bytes,
                done_files=self._done_files,
                total_files=len(self._manifest.files),
                rate=rate,
                eta_s=left_bytes / rate if rate else None,
            )
        )


def _prepare(folder: Path, manifest: Manifest) -> None:
    """Make `folder` that of `manifest`: keep what it holds of it, remove all else."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        before = {file.name: file for file in read_manifest(folder).files}
    except SnapshotError:
        before = {}
    (folder / COMPLETE).unlink(missing_ok=True)
    same = {file.name for file in manifest.files if before.get(file.name) == file}
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        name = path.relative_to(folder).as_posix()
        if name.removesuffix(".part") not in same and name != MANIFEST:
            path.unlink()
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    write_whole(folder / MANIFEST, encode_manifest(manifest))


def _finish(part: Path, target: Path, file: SnapshotFile) -> None:
    """Give a whole file its name once it is on the disk. Raises SnapshotError."""
    check_file(part, file)
    with part.open("rb") as written:
        os.fsync(written.fileno())
    part.rename(target)


def _part(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0

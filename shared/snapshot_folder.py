"""A snapshot on disk: its files, the manifest, and the mark that says it is complete."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from shared.snapshot import (
    COMPLETE,
    MANIFEST,
    Manifest,
    SnapshotError,
    SnapshotFile,
    decode_manifest,
)

_CHUNK_BYTES = 1 << 20


def sha256_of(path: Path, on_bytes: Callable[[int], None] = lambda count: None) -> str:
    """Hash a file. on_bytes: called with the size of each piece; what it raises ends the work."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK_BYTES):
            digest.update(piece)
            on_bytes(len(piece))
    return digest.hexdigest()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is either whole on the disk or not there, also after a power cut."""
    beside = path.with_name(f"{path.name}.new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def mark_complete(folder: Path) -> None:
    """Say that every file of the manifest is there and was checked."""
    write_whole(folder / COMPLETE, sha256_of(folder / MANIFEST).encode())


def is_complete(folder: Path) -> bool:
    """Tell whether `mark_complete` was called."""
    return (folder / COMPLETE).is_file()


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest in `folder`. Raises SnapshotError."""
    try:
        return decode_manifest((folder / MANIFEST).read_bytes())
    except OSError as error:
        raise SnapshotError(f"{MANIFEST} cannot be read: {error.strerror}") from error


def verify(folder: Path, on_bytes: Callable[[int], None] = lambda count: None) -> Manifest:
    """Check every file of a complete snapshot against its manifest, which is returned.

    Needs neither network nor store. on_bytes: as of `sha256_of`. Raises SnapshotError naming the
    first file that is missing or differs.
    """
    try:
        expected = (folder / COMPLETE).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SnapshotError(f"the snapshot in {folder} is not complete") from error
    manifest = read_manifest(folder)
    if sha256_of(folder / MANIFEST) != expected:
        raise SnapshotError(f"{MANIFEST} is not the one that was downloaded")
    for file in manifest.files:
        check_file(folder / file.name, file, on_bytes)
    return manifest


def check_file(
    path: Path, expected: SnapshotFile, on_bytes: Callable[[int], None] = lambda count: None
) -> None:
    """Raise SnapshotError naming the file unless `path` holds what is `expected`."""
    try:
        size_bytes = path.stat().st_size
        if size_bytes != expected.size_bytes:
            sizes = f"{size_bytes} bytes instead of {expected.size_bytes}"
            raise SnapshotError(f"{expected.name} is truncated or damaged: {sizes}")
        if sha256_of(path, on_bytes) != expected.sha256:
            raise SnapshotError(f"{expected.name} is damaged: its sha256 is another")
    except OSError as error:
        raise SnapshotError(f"{expected.name} cannot be read: {error.strerror}") from error

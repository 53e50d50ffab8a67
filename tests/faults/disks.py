"""Small disks that tests fill up and free again."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CHUNK_BYTES = 1 << 16


@contextmanager
def small_disk(folder: Path, *, size_mib: int) -> Iterator[bool]:
    """A file system of its own in `folder`; False where this user may not mount one."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    mounted = os.geteuid() == 0 and _run(
        "mount", "-t", "tmpfs", "-o", f"size={size_mib}m,mode=700", "none", str(folder)
    )
    try:
        yield mounted
    finally:
        # Whoever still has a file open there must not keep the folder from being removed.
        if mounted and not _run("umount", str(folder)):
            _run("umount", "--lazy", str(folder))


def fill(folder: Path) -> None:
    """Take all room that is left on the disk of `folder`, also when called again."""
    with (folder / "ballast").open("ab", buffering=0) as file:
        for size_bytes in (_CHUNK_BYTES, 1):
            try:
                while file.write(bytes(size_bytes)):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """No room on the disk of `folder` while the block lasts, but for what others give back."""
    try:
        fill(folder)
        yield
    finally:
        (folder / "ballast").unlink(missing_ok=True)


def _run(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0

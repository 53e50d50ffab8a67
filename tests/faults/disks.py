"""Small disks that tests fill up, slow down, and give back again."""

import errno
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CHUNK_BYTES = 1 << 16
_HELD_S, _OPEN_S = 0.4, 0.1
"""Of a slow disk: so long every write waits, then so long what waited is written."""


@contextmanager
def small_disk(folder: Path, *, size_mib: int) -> Iterator[bool]:
    """A file system of its own in `folder`; False where this user may not mount one."""
    with _mounted(folder, "-t", "tmpfs", "-o", f"size={size_mib}m,mode=700", "none") as mounted:
        yield mounted


@contextmanager
def small_block_disk(folder: Path, *, size_mib: int) -> Iterator[bool]:
    """The same with blocks below it, in a file beside `folder`: it can be slowed down."""
    blocks = folder.with_suffix(".disk")
    with blocks.open("wb") as file:
        file.truncate(size_mib << 20)
    made = os.geteuid() == 0 and _run("mkfs.ext4", "-q", "-m", "0", str(blocks))
    try:
        with _mounted(folder, "-o", "loop", str(blocks), is_made=made) as mounted:
            if mounted:
                folder.chmod(0o700)
            yield mounted
    finally:
        blocks.unlink()


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


@contextmanager
def slowed(folder: Path) -> Iterator[None]:
    """Whoever writes to the block disk in `folder` waits for most of the time."""
    ended = threading.Event()
    was_held = False

    def hold_and_open() -> None:
        nonlocal was_held
        while not ended.is_set():
            try:
                was_held |= _run("fsfreeze", "--freeze", str(folder))
                ended.wait(_HELD_S)
            finally:
                # Held for ever it would hold all who write there, and they could not be killed.
                _run("fsfreeze", "--unfreeze", str(folder))
            ended.wait(_OPEN_S)

    holding = threading.Thread(target=hold_and_open, name=f"slow {folder.name}")
    holding.start()
    try:
        yield
    finally:
        ended.set()
        holding.join()
    assert was_held, f"the disk in {folder} cannot be held"


@contextmanager
def _mounted(folder: Path, *what: str, is_made: bool = True) -> Iterator[bool]:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    mounted = is_made and os.geteuid() == 0 and _run("mount", *what, str(folder))
    try:
        yield mounted
    finally:
        # Whoever still has a file open there must not keep the folder from being removed.
        if mounted and not _run("umount", str(folder)):
            _run("umount", "--lazy", str(folder))


def _run(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    # Ctrl-C is for the tests, not for one of these in the middle.
    done = subprocess.run(command, capture_output=True, check=False, start_new_session=True)
    return done.returncode == 0

"""What processes print to stays bounded: it shares the disk with spools, stores and Kafka."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

LOG_BYTES_MAX = 16 << 20
LOOK_S = 10.0


def earlier(log: Path) -> Path:
    """Return the file of what `log` held before it was cut last."""
    return log.with_name(f"{log.name}.1")


def cut(log: Path, *, bytes_max: int) -> bool:
    """Keep the newest `bytes_max` of a larger log as `earlier`, and empty it; whether that was due.

    Whoever prints to it must append: it goes on in the same file, and is told nothing. A line that
    is printed in this very moment may be lost. Raises OSError.
    """
    if not log.exists() or log.stat().st_size <= bytes_max:
        return False
    new = log.with_name(f"{earlier(log).name}.new")
    # First of all: on a full disk the newest part needs the room of the oldest.
    earlier(log).unlink(missing_ok=True)
    try:
        with log.open("rb") as whole, new.open("wb") as kept:
            whole.seek(-bytes_max, os.SEEK_END)
            shutil.copyfileobj(whole, kept)
            kept.flush()
            # What was printed meanwhile, and nothing in between.
            shutil.copyfileobj(whole, kept)
            os.truncate(log, 0)
        new.replace(earlier(log))
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    return True


async def keep_small(logs: Callable[[], Iterable[Path]]) -> None:
    """Cut what has grown too large, at once and now and then, until cancelled."""
    while True:
        for log in set(logs()):
            # What cannot be cut now grows no more where the disk is full, and is looked at again.
            with contextlib.suppress(OSError):
                await asyncio.to_thread(cut, log, bytes_max=LOG_BYTES_MAX)
        await asyncio.sleep(LOOK_S)

"""What runs in a home: the lock that only one launcher holds, and what it notes in `run.json`."""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

GONE_TIMEOUT_S = 10.0


class HomeError(Exception):
    """The home cannot be used; the text is one sentence."""


@contextlib.contextmanager
def hold(home: Path, *, gone_timeout_s: float = GONE_TIMEOUT_S) -> Iterator[None]:
    """Make `home` where it is missing and be its only launcher until the block ends.

    gone_timeout_s: what a dead launcher left running is killed after so long. The kernel gives the
    lock back however this process ends. Raises HomeError.
    """
    _make(home)
    with _lock_file(home) as descriptor:
        if not _try_lock(descriptor):
            raise _held(home)
        # Nothing may say that this launcher runs what the one before it ran.
        stale = read(home)
        (home / "run.json").unlink(missing_ok=True)
        end_leftovers(stale, gone_timeout_s)
        try:
            yield
        finally:
            (home / "run.json").unlink(missing_ok=True)


def check_free(home: Path) -> None:
    """Raise HomeError where a launcher lives in `home`. Makes nothing."""
    if is_held(home):
        raise _held(home)


def is_held(home: Path) -> bool:
    """Whether a launcher lives in `home`."""
    try:
        with _lock_file(home, create=False) as descriptor:
            return not _try_lock(descriptor)
    except HomeError:
        return False


def read(home: Path) -> dict[str, Any] | None:  # JSON
    """Return what the last launcher noted; None when there is nothing to be read."""
    try:
        facts = json.loads((home / "run.json").read_text())
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


def write(home: Path, facts: dict[str, object]) -> None:
    """Replace `run.json`, whole or not at all."""
    new = home / "run.json.new"
    new.write_text(json.dumps(facts, indent=2) + "\n")
    new.replace(home / "run.json")


def identity(pid: int) -> dict[str, object]:
    """Return the pid and when that process started, which no later one of that pid shares."""
    try:
        return {"pid": pid, "started_at": psutil.Process(pid).create_time()}
    except psutil.NoSuchProcess:
        return {"pid": pid, "started_at": 0.0}


def end_leftovers(facts: dict[str, Any] | None, timeout_s: float = GONE_TIMEOUT_S) -> None:
    """See the end of every process that a dead launcher noted, killing what does not end itself.

    They were asked to die with it, but a process in the middle of a write takes a moment.
    """
    left = [process for noted in _noted(facts) if (process := find(noted)) is not None]
    _, alive = psutil.wait_procs(left, timeout=timeout_s)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=GONE_TIMEOUT_S)


def wait_released(home: Path, timeout_s: float, *, sleep: Callable[[float], None]) -> bool:
    """Wait until no launcher lives in `home`; False when it still does after `timeout_s`."""
    deadline_s = time.monotonic() + timeout_s
    while is_held(home):
        if time.monotonic() > deadline_s:
            return False
        sleep(0.1)
    return True


def _noted(facts: Any) -> Iterator[dict[str, Any]]:  # JSON
    if isinstance(facts, dict):
        if "pid" in facts and "started_at" in facts:
            yield facts
        for value in facts.values():
            yield from _noted(value)
    elif isinstance(facts, list):
        for value in facts:
            yield from _noted(value)


def find(noted: dict[str, Any]) -> psutil.Process | None:
    """Return the living process that was noted; None when it ended, whoever has its pid now."""
    try:
        process = psutil.Process(int(noted["pid"]))
        same = abs(process.create_time() - float(noted["started_at"])) < 0.5
    except (psutil.Error, ValueError, TypeError):
        return None
    return process if same and process.pid != os.getpid() else None


def _held(home: Path) -> HomeError:
    return HomeError(f"steadflow runs in {home} already: `steadflow down` stops it")


def _make(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        mode = home.stat().st_mode
    except FileExistsError as error:
        raise HomeError(f"--home {home} is a file, not a folder") from error
    except OSError as error:
        raise HomeError(f"--home {home} cannot be made: {error.strerror}") from error
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        raise HomeError(f"--home {home} cannot be written by this user: choose another folder")
    if mode & 0o022:
        raise HomeError(
            f"--home {home} can be written by other users, and holds the token: "
            f"`chmod go-w {home}` first"
        )


@contextlib.contextmanager
def _lock_file(home: Path, *, create: bool = True) -> Iterator[int]:
    try:
        flags = os.O_RDWR | (os.O_CREAT if create else 0)
        descriptor = os.open(home / "lock", flags, 0o600)
    except OSError as error:
        raise HomeError(f"--home {home} cannot be locked: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

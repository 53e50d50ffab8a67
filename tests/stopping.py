"""Processes that are stopped for a while: SIGSTOP, and SIGCONT whatever happens."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.waiting import wait_until


def freeze(pid: int) -> None:
    """Return once all of a process has stopped, or when it is gone.

    The signal stops one thread after the other: one that waits for a child still reaps it.
    """
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: are_stopped(pid), f"process {pid} is stopped", every_s=0.01)


def are_stopped(pid: int) -> bool:
    """Whether all threads of a process have stopped; those of one that is gone have."""
    threads = Path(f"/proc/{pid}/task")
    try:
        return all("\nState:\tT" in (one / "status").read_text() for one in threads.iterdir())
    except FileNotFoundError:
        return not threads.exists()


@contextmanager
def frozen(pids: Sequence[int]) -> Iterator[None]:
    """Stop these for the block, in their order."""
    try:
        for pid in pids:
            freeze(pid)
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

"""Processes that are stopped for a while: SIGSTOP, and SIGCONT whatever happens."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tests.faults.system import kill
from tests.waiting import wait_until

DEADLINE_S = 180


@contextmanager
def frozen(pids: Sequence[int]) -> Iterator[None]:
    """Stop these for the block, in their order."""
    try:
        for pid in pids:
            kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            kill(pid, signal.SIGCONT)


@contextmanager
def nothing_on_its_way(sender: int, received: Callable[[], int]) -> Iterator[None]:
    """Stop the sender for the block, which begins once all that it sent is in the spool.

    received: datagrams so far, -1 while nobody says.
    """
    with frozen([sender]):
        seen = -1

        def is_still() -> bool:
            nonlocal seen
            before, seen = seen, received()
            return 0 <= seen == before

        wait_until(is_still, "all that was sent is in the spool", DEADLINE_S, 0.5)
        yield

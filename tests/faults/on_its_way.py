"""Traffic that is held while a collector is away: what is sent meanwhile would be lost."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.stopping import frozen
from tests.waiting import wait_until

DEADLINE_S = 180


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

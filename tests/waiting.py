"""Waiting for what other processes and threads do."""

import time
from collections.abc import Callable


def wait_until(
    condition: Callable[[], bool], what: str, deadline_s: float = 120, every_s: float = 0.1
) -> None:
    """Return once `condition` holds; fail with `what` after a deadline that only a hang meets."""
    end_s = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end_s:
            raise AssertionError(f"not within {deadline_s:.0f} s: {what}")
        time.sleep(every_s)

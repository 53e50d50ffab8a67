"""Waiting for other processes. Only a hang meets a deadline: the machine may be busy."""

import time
from collections.abc import Callable


class TookTooLong(Exception):
    """Something that had to happen did not; the text names it."""


def wait_until(
    condition: Callable[[], bool], what: str, *, deadline_s: float = 600.0, every_s: float = 0.1
) -> None:
    """Return once `condition` holds. Raises TookTooLong."""
    end_s = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end_s:
            raise TookTooLong(f"not within {deadline_s:.0f} s: {what}")
        time.sleep(every_s)


def wait_until_still(read: Callable[[], int], *, for_s: float, deadline_s: float = 600.0) -> int:
    """Return what `read` gives once it gave the same for `for_s`. Raises TookTooLong."""
    end_s = time.monotonic() + deadline_s
    value, since_s = read(), time.monotonic()
    while time.monotonic() - since_s < for_s:
        time.sleep(0.2)
        if (now := read()) != value:
            value, since_s = now, time.monotonic()
        if time.monotonic() > end_s:
            raise TookTooLong(f"still moving after {deadline_s:.0f} s")
    return value

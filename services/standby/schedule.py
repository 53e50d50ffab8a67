"""When a standby checks itself again; pure."""

from typing import Final

RETRY_S: Final = 3600
"""A check that could not be made is tried again so much later."""


def due_in_s(*, checked_ms: int, tried_ms: int, now_ms: int, every_s: int) -> float:
    """Return after how many seconds the checks are due; 0 for now.

    checked_ms: when they were made last, tried_ms: or could not be; UTC, 0 for never. A clock that
    was set back makes no pause longer than `every_s`.
    """
    due_ms = checked_ms + every_s * 1000 if checked_ms else 0
    if tried_ms > checked_ms:
        due_ms = max(due_ms, tried_ms + min(RETRY_S, every_s) * 1000)
    return min(max(0, due_ms - now_ms) / 1000, float(every_s))

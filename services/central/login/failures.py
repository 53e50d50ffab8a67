"""Failed logins as the record has them: the first at once, then at most one entry a minute; pure.

Whoever tries passwords must not be able to fill the log.
"""

from dataclasses import dataclass
from typing import Final

EVERY_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Failed:
    """Some failures. address, account: of the newest; account is empty for one that is none."""

    count: int
    address: str
    account: str


class FailureTally:
    """Gathers failures between two entries."""

    def __init__(self) -> None:
        """Begin without any."""
        self._open: Failed | None = None
        self._noted_s: float | None = None

    def failed(self, address: str, account: str, now_s: float) -> Failed | None:
        """Count one; return what has to be noted now."""
        count = 1 if self._open is None else self._open.count + 1
        self._open = Failed(count, address, account)
        return self.due(now_s)

    def due(self, now_s: float) -> Failed | None:
        """Return what has to be noted now; it then counts as noted."""
        if self._open is None:
            return None
        if self._noted_s is not None and now_s - self._noted_s < EVERY_S:
            return None
        due, self._open, self._noted_s = self._open, None, now_s
        return due

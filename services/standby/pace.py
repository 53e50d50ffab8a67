"""How fast a download may be and how fast it is. Pure: times come in as arguments."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

RATE_S: Final = 10.0
"""The rate that is reported is that of so many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far it is. phase: `making` on the primary, then `download`.

    rate: bytes a second over the last 10 s, 0 when nothing came; eta_s: None while that is so.
    """

    phase: str
    done_bytes: int
    total_bytes: int
    done_files: int = 0
    total_files: int = 0
    rate: float = 0.0
    eta_s: float | None = None


@dataclass(slots=True)
class Pace:
    """Says how long to wait so that at most `limit` bytes a second are taken."""

    limit: int | None
    _free_at_s: float = 0.0

    def wait_s(self, count: int, now_s: float) -> float:
        """Return the seconds to wait before the next piece, `count` bytes having come."""
        if self.limit is None:
            return 0.0
        self._free_at_s = max(self._free_at_s, now_s) + count / self.limit
        return self._free_at_s - now_s


@dataclass(slots=True)
class Meter:
    """Bytes done so far and how fast they come."""

    total_bytes: int
    done_bytes: int = 0
    _seen: deque[tuple[float, int]] = field(default_factory=deque)

    def rate(self, now_s: float) -> float:
        """Return bytes a second over the last `RATE_S`; call it now and then."""
        self._seen.append((now_s, self.done_bytes))
        while now_s - self._seen[0][0] > RATE_S and len(self._seen) > 2:
            self._seen.popleft()
        since_s, since_bytes = self._seen[0]
        return max(self.done_bytes - since_bytes, 0) / (now_s - since_s) if now_s > since_s else 0.0

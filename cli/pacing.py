"""How much may be sent by now: a token bucket on times that its caller read."""

from dataclasses import dataclass


@dataclass(slots=True)
class Pacer:
    """A token bucket: `rate` a second, at most `burst_s` seconds' worth at once.

    What a stalled sender could not send in time is forgone: a flood afterwards would only be
    dropped by the kernel.
    """

    rate: float
    burst_s: float = 1.0
    _at_s: float = 0.0
    _tokens: float = 0.0

    def take(self, elapsed_s: float) -> int:
        """Return how many whole tokens have come since the last call, and take them."""
        gained = (elapsed_s - self._at_s) * self.rate
        self._at_s = elapsed_s
        # Rounding keeps 0.1 + 0.2 seconds at rate 10 from giving 2.
        self._tokens = min(self._tokens + gained, max(self.rate * self.burst_s, 1.0))
        whole = int(self._tokens + 1e-6)
        self._tokens -= whole
        return whole

    def borrow(self) -> None:
        """Take one token ahead of its time."""
        self._tokens -= 1.0


def split(debts: list[float], count: int, shares: list[float]) -> None:
    """Add `count` to `debts` in place, by `shares` (which sum to 1)."""
    for index, share in enumerate(shares):
        debts[index] += count * share


def settle(debts: list[float]) -> list[int]:
    """Return whole parts of `debts` with the same sum, rounded to a whole number."""
    parts = [int(debt) for debt in debts]
    missing = round(sum(debts)) - sum(parts)
    by_remainder = sorted(range(len(debts)), key=lambda index: parts[index] - debts[index])
    for index in by_remainder[:missing]:
        parts[index] += 1
    return parts

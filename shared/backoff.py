"""Growing, jittered waits between retries."""

import random
from collections.abc import Callable, Iterator


def waits(
    *,
    first_s: float = 0.1,
    longest_s: float = 5.0,
    factor: float = 2.0,
    chance: Callable[[], float] = random.random,
) -> Iterator[float]:
    """Yield seconds to wait before each next try, without end.

    Each wait is between half and the whole of its step, so that clients which lost the same broker
    at the same moment do not come back together. chance: uniform in [0, 1).
    """
    step_s = first_s
    while True:
        yield step_s * (0.5 + 0.5 * chance())
        step_s = min(step_s * factor, longest_s)

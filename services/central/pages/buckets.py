"""Time buckets of a chart: how long they are, and sums per bucket -> rates on an even grid."""

from collections.abc import Mapping, Sequence
from typing import Final

from services.central.pages.units import rate

STEPS_S: Final = (
    60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 7 * 86_400,
)  # fmt: skip
POINTS: Final = 150
"""Buckets a chart shows at most: some eight pixels each on a wide screen."""
YOUNGEST_MS: Final = 20_000
"""A bucket that began less than this before its data ends would show noise as a rate."""


def step_s(from_ms: int, to_ms: int) -> int:
    """Return the finest step that gives at most POINTS buckets."""
    for step in STEPS_S:
        if (to_ms - from_ms) / 1000 <= step * POINTS:
            return step
    return STEPS_S[-1]


def starts_ms(from_ms: int, to_ms: int, step: int) -> list[int]:
    """Return the starts of all buckets that the range touches."""
    width = step * 1000
    return list(range(from_ms // width * width, to_ms, width))


def rates(
    sums: Mapping[int, float],
    starts: Sequence[int],
    *,
    step: int,
    metric: str,
    from_ms: int,
    until_ms: int,
) -> list[float | None]:
    """Return the rate of each bucket, by the time it really covers; None for one yet too young.

    sums: start of a bucket in ms -> bytes, packets or flows; from_ms: since when there can be
    data; until_ms: how far it reaches.
    """
    found: list[float | None] = []
    for start in starts:
        end = start + step * 1000
        covered_ms = min(end, until_ms) - max(start, from_ms)
        if end <= until_ms and covered_ms > 0:
            # The first flows may come at the end of a minute: they are old enough to be shown.
            covered_ms = max(covered_ms, YOUNGEST_MS)
        if covered_ms < min(YOUNGEST_MS, step * 1000):
            found.append(None)
        else:
            found.append(rate(metric, sums.get(start, 0), covered_ms / 1000))
    return found

"""Whether a soak's figures stay flat: a straight line through each, and what it may rise by."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Allowed:
    """How far the fitted line of a flat figure may rise in the judged period.

    share: of the figure's mean; least: in its own unit, for small figures.
    """

    share: float
    least: float

    def rise(self, mean: float) -> float:
        """Return the largest rise of a figure with this mean."""
        return max(self.share * mean, self.least)


MEMORY = Allowed(share=0.05, least=8 * MIB)
FILES = Allowed(share=0.10, least=16)
LAG_S = Allowed(share=0.0, least=1.0)


@dataclass(frozen=True, slots=True)
class Trend:
    """A figure over the judged period, by least squares.

    first, last: medians of the period's first and last fifth, which no single sample moves.
    rise: of the fitted line from the period's start to its end; per_hour: its slope.
    """

    mean: float
    first: float
    last: float
    largest: float
    rise: float
    per_hour: float

    def is_flat(self, allowed: Allowed) -> bool:
        """Return whether it does not rise by more than allowed; falling is no harm."""
        return self.rise <= allowed.rise(self.mean)


def trend(points: Sequence[tuple[float, float]]) -> Trend:
    """Fit a line through (seconds, value). Raises ValueError for fewer than two instants."""
    times = [at_s for at_s, _ in points]
    values = [value for _, value in points]
    if len(set(times)) < 2:
        raise ValueError("a line needs two instants")
    mean_at, mean = sum(times) / len(times), sum(values) / len(values)
    spread = sum((at - mean_at) ** 2 for at in times)
    slope = sum((at - mean_at) * (v - mean) for at, v in points) / spread
    fifth = max(1, len(values) // 5)
    return Trend(
        mean=mean,
        first=_median(values[:fifth]),
        last=_median(values[-fifth:]),
        largest=max(values),
        rise=slope * (max(times) - min(times)),
        per_hour=slope * 3600,
    )


def trends(
    samples: Iterable[tuple[float, Mapping[str, float]]], *, from_s: float
) -> dict[str, Trend]:
    """Return the trend of each named figure from `from_s` on, in order of first sight.

    A figure that was seen at fewer than two instants is left out.
    """
    points: dict[str, list[tuple[float, float]]] = {}
    for at_s, values in samples:
        if at_s >= from_s:
            for name, value in values.items():
                points.setdefault(name, []).append((at_s, value))
    return {name: trend(found) for name, found in points.items() if len(found) > 1}


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2

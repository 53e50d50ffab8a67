"""Readiness and the turning of the loops, as Prometheus sees them."""

from collections.abc import Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.health import Health

READY = ("ready", "1 when the service may serve, 0 when not.", ())
CONDITION = (
    "condition_met",
    "0 when this condition keeps the service from being ready, 1 when it does not.",
    ("condition",),
)
LOOP = ("loop_age_seconds", "Time since a work loop turned last.", ("loop",))
HEALTH_GAUGES: tuple[tuple[str, str, tuple[str, ...]], ...] = (READY, CONDITION, LOOP)
"""Name, help text and labels."""


class HealthCollector(Collector):
    """What `/health/ready` and `/health/live` say."""

    def __init__(self, prefix: str, health: Health) -> None:
        """prefix: of the metrics' names, without the underscore behind it."""
        self._prefix = prefix
        self._health = health

    def collect(self) -> Iterator[Metric]:
        """Yield one gauge each."""
        conditions = self._health.conditions
        yield self._gauge(READY, {(): float(all(conditions.values()))})
        yield self._gauge(CONDITION, {(name,): float(met) for name, met in conditions.items()})
        yield self._gauge(LOOP, {(name,): age for name, age in self._health.loop_ages_s.items()})

    def _gauge(
        self, named: tuple[str, str, tuple[str, ...]], values: dict[tuple[str, ...], float]
    ) -> GaugeMetricFamily:
        name, text, labels = named
        gauge = GaugeMetricFamily(f"{self._prefix}_{name}", text, labels=labels)
        for each, value in values.items():
            gauge.add_metric(each, value)
        return gauge

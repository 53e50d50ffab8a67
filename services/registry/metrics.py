"""Every metric of the registry."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.http_metrics import http_histogram
from shared.roles.fold import RolesState, Standing, standing
from shared.roles.view import Alarm, AlarmKind

PREFIX = "steadflow_registry"

GENERATION = ("generation", "Generation of ha.log as read; 0 before its first Config.", ())
EPOCH = ("epoch", "Epoch of ha.log as read; -1 before the first primary.", ())
VALID_TICKS = ("valid_ticks", "Valid ticks of ha.log so far.", ())
STANDING = ("standing", "1 for how it stands with the primary, 0 for the others.", ("standing",))
ALARM = ("alarm", "1 while this is wrong with the cluster, 0 while not.", ("kind",))
LOST = ("lost_ticks", "Own ticks that no broker acknowledged.", ())
REFUSED = ("refused_records", "Records that this release cannot read, by topic.", ("topic",))
REGISTRY_GAUGES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    GENERATION, EPOCH, VALID_TICKS, STANDING, ALARM,
)  # fmt: skip
REGISTRY_COUNTERS: tuple[tuple[str, str, tuple[str, ...]], ...] = (LOST, REFUSED)
"""Name, help text and labels of what is asked when Prometheus asks."""


class RegistryMetrics:
    """The metrics of one registry, on a registry of Prometheus of their own."""

    def __init__(self) -> None:
        """Declare them all."""
        self.registry = CollectorRegistry()
        self.ticks = Counter(
            f"{PREFIX}_sent_ticks", "Own ticks handed to the client.", registry=self.registry
        )
        self.claims = Counter(
            f"{PREFIX}_claims",
            "Claims proposed; the log decides whether they hold.",
            registry=self.registry,
        )
        self.snapshots = Counter(
            f"{PREFIX}_snapshots", "Snapshots appended.", registry=self.registry
        )
        self.kafka_away = Counter(
            f"{PREFIX}_kafka_away",
            "Times that ha.log could not be read, or a record not be appended.",
            registry=self.registry,
        )
        self.http = http_histogram(PREFIX, self.registry)


class Shown(Protocol):
    """What is asked of a running registry."""

    @property
    def state(self) -> RolesState:
        """The fold."""
        ...

    @property
    def alarms(self) -> list[Alarm]:
        """What is wrong with the cluster."""
        ...

    @property
    def lost_ticks(self) -> int:
        """Own ticks that no broker acknowledged."""
        ...

    @property
    def refused(self) -> dict[str, int]:
        """Unreadable records by topic."""
        ...


class RolesCollector(Collector):
    """How it stands with the roles, as this registry reads the log."""

    def __init__(self, shown: Shown) -> None:
        """Read from `shown` whenever it is asked."""
        self._shown = shown

    def collect(self) -> Iterator[Metric]:
        """Yield all of `REGISTRY_GAUGES` and `REGISTRY_COUNTERS`."""
        state = self._shown.state
        now = standing(state)
        raised = {alarm.kind for alarm in self._shown.alarms}
        yield _gauge(GENERATION, [((), 0 if state.config is None else state.config.generation)])
        yield _gauge(EPOCH, [((), state.epoch)])
        yield _gauge(VALID_TICKS, [((), state.ticks)])
        yield _gauge(STANDING, [((each.name.lower(),), each is now) for each in Standing])
        yield _gauge(ALARM, [((kind.value,), kind in raised) for kind in AlarmKind])
        yield _counter(LOST, [((), self._shown.lost_ticks)])
        yield _counter(REFUSED, [((topic,), count) for topic, count in self._shown.refused.items()])


Samples = Iterable[tuple[tuple[str, ...], float]]


def _gauge(named: tuple[str, str, tuple[str, ...]], samples: Samples) -> Metric:
    name, text, labels = named
    gauge = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
    for values, value in samples:
        gauge.add_metric(values, value)
    return gauge


def _counter(named: tuple[str, str, tuple[str, ...]], samples: Samples) -> Metric:
    name, text, labels = named
    counter = CounterMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
    for values, value in samples:
        counter.add_metric(values, value)
    return counter

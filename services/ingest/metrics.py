"""Every metric of the collector, shown by its holder.

Receivers and decoders write small files; nothing is mapped into memory, because on a full disk a
write to such a file kills the process. A restarted process counts from 0 again, as Prometheus
expects of it.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.ingest.known_roles import KnownRoles
from services.ingest.process_facts import process_facts
from services.ingest.publish.tally import COUNTERS, GAUGES
from services.ingest.status import Fact
from shared.collectors import NO_EPOCH

PREFIX = "steadflow_ingest"

Tallies = Mapping[str, Mapping[tuple[str, ...], float]]


class Shown(Protocol):
    """What the holder's own metrics are read from."""

    @property
    def restarts(self) -> Mapping[tuple[str, str], int]: ...  # noqa: D102
    @property
    def pids(self) -> Mapping[tuple[str, str], int | None]: ...  # noqa: D102
    @property
    def buffers_by_worker(self) -> Mapping[str, int]: ...  # noqa: D102
    def queues_by_worker(self) -> Mapping[str, int]: ...  # noqa: D102
    def spool_sizes(self) -> Mapping[str, int]: ...  # noqa: D102
    def spool_bounds(self) -> Mapping[str, int]: ...  # noqa: D102


RESTARTS = (
    "process_restarts",
    "Receivers and decoders that ended and were started again.",
    ("role", "worker"),
)
CPU = ("process_cpu_seconds", "CPU time of a receiver or decoder.", ("role", "worker"))
HOLDER_COUNTERS = (RESTARTS, CPU)
RESIDENT = ("process_resident_bytes", "Memory of a receiver or decoder.", ("role", "worker"))
BUFFERS = (
    "receive_buffer_bytes",
    "Receive buffer that the kernel gave a worker's socket.",
    ("worker",),
)
QUEUES = (
    "receive_queue_bytes",
    "What datagrams that nobody read yet take of the receive buffer.",
    ("worker",),
)
SPOOLS = ("spool_bytes", "Bytes of a worker's spool.", ("worker",))
SPOOL_BOUNDS = (
    "spool_bytes_max",
    "Bytes of a worker's spool above which the oldest records are discarded.",
    ("worker",),
)
HOLDER_GAUGES = (RESIDENT, BUFFERS, QUEUES, SPOOLS, SPOOL_BOUNDS)
"""Name, help text and labels of what the holder knows itself."""


class HolderCollector(Collector):
    """What the socket holder knows itself."""

    def __init__(self, holder: Shown) -> None:
        """Read from `holder` whenever it is asked."""
        self._holder = holder

    def collect(self) -> Iterator[Metric]:
        """Yield what its processes cost and how often they began, its buffers and its spools."""
        facts = {
            role_and_worker: found
            for role_and_worker, pid in self._holder.pids.items()
            if pid is not None and (found := process_facts(pid)) is not None
        }
        for (name, text, labels), counts in (
            (RESTARTS, self._holder.restarts),
            (CPU, {process: found.cpu_s for process, found in facts.items()}),
        ):
            counter = CounterMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
            for role_and_worker, count in counts.items():
                counter.add_metric(role_and_worker, count)
            yield counter
        name, text, labels = RESIDENT
        resident = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
        for role_and_worker, found in facts.items():
            resident.add_metric(role_and_worker, found.resident_bytes)
        yield resident
        for (name, text, by_worker), sizes in (
            (BUFFERS, self._holder.buffers_by_worker),
            (QUEUES, self._holder.queues_by_worker()),
            (SPOOLS, self._holder.spool_sizes()),
            (SPOOL_BOUNDS, self._holder.spool_bounds()),
        ):
            gauge = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=by_worker)
            for worker, size in sizes.items():
                gauge.add_metric([worker], size)
            yield gauge


HEARTBEATS_LOST = (
    "lost_heartbeats",
    "Records about this collector that did not reach topic collectors.",
    (),
)
ROLES_REFUSED = ("roles_refused", "Records on ha.roles that this release cannot read.", ())
ROLES_COUNTERS = (HEARTBEATS_LOST, ROLES_REFUSED)
EPOCH = (
    "roles_epoch",
    "Epoch of the primary that the collector knows; -1 while it knows none.",
    (),
)
PRIMARY = ("primary_info", "1 for the central that the collector knows as the primary.", ("node",))
ROLES_GAUGES = (EPOCH, PRIMARY)
"""Name, help text and labels of what the collector knows of the centrals, and tells them."""


class RolesCollector(Collector):
    """What the collector knows of the centrals, and how much it told them in vain."""

    def __init__(self, known: KnownRoles, heartbeats_lost: Callable[[], int]) -> None:
        """heartbeats_lost: since this process began."""
        self._known = known
        self._heartbeats_lost = heartbeats_lost

    def collect(self) -> Iterator[Metric]:
        """Yield the epoch, the primary's name, and what was lost or refused."""
        roles = self._known.roles
        for (name, text, _), count in (
            (HEARTBEATS_LOST, self._heartbeats_lost()),
            (ROLES_REFUSED, self._known.refused),
        ):
            yield CounterMetricFamily(f"{PREFIX}_{name}", text, value=count)
        name, text, _ = EPOCH
        epoch = NO_EPOCH if roles is None else roles.epoch
        yield GaugeMetricFamily(f"{PREFIX}_{name}", text, value=epoch)
        name, text, labels = PRIMARY
        primary = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
        if roles is not None:
            primary.add_metric([roles.primary], 1)
        yield primary


RECEIVER_COUNTERS: tuple[tuple[str, str, str], ...] = (
    ("datagrams", "received_datagrams", "Datagrams written to the spool."),
    ("bytes", "received_bytes", "Payload bytes of the datagrams written to the spool."),
    ("batches", "received_batches", "Writes to the spool that carried datagrams."),
    ("streams", "streams", "Streams opened."),
    ("kernel_drops", "kernel_drop_datagrams", "Datagrams the kernel dropped, buffer full."),
    ("overflow", "receiver_overflow_datagrams", "Datagrams dropped, no room in the spool."),
)
"""Facts of a receiver's status that only grow in its life, the metric's name and its help text."""


class ReceiverCollector(Collector):
    """What receivers count, read from their status files."""

    def __init__(self, statuses: Callable[[], Mapping[str, Mapping[str, Fact]]]) -> None:
        """statuses: gives the facts of each worker's receiver, by `name/index`."""
        self._statuses = statuses

    def collect(self) -> Iterator[Metric]:
        """Yield one counter per fact, with a sample for each worker."""
        statuses = self._statuses()
        for fact, name, text in RECEIVER_COUNTERS:
            family = CounterMetricFamily(f"{PREFIX}_{name}", text, labels=["worker"])
            for worker, facts in statuses.items():
                value = facts.get(fact)
                if isinstance(value, int | float):
                    family.add_metric([worker], value)
            yield family


class DecoderCollector(Collector):
    """What decoders count, read from their tallies."""

    def __init__(self, tallies: Callable[[], Tallies]) -> None:
        """tallies: gives the tally of each worker's decoder, by `name/index`."""
        self._tallies = tallies

    def collect(self) -> Iterator[Metric]:
        """Yield the counters and gauges that `tally` names."""
        tallies = self._tallies()
        for name, (text, labels) in COUNTERS.items():
            counter = CounterMetricFamily(f"{PREFIX}_{name}", text, labels=("worker", *labels))
            for values, value in _samples(tallies, name):
                counter.add_metric(values, value)
            yield counter
        for name, (text, labels) in GAUGES.items():
            gauge = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=("worker", *labels))
            for values, value in _samples(tallies, name):
                gauge.add_metric(values, value)
            yield gauge


def _samples(tallies: Tallies, name: str) -> Iterator[tuple[list[str], float]]:
    for worker, tally in tallies.items():
        for (key, *values), value in tally.items():
            if key == name:
                yield [worker, *values], value

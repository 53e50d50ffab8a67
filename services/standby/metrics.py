"""Every metric of the standby's agent."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from services.standby.joining import Joining, Phase
from services.standby.preflight import Light
from shared.http_metrics import http_histogram

PREFIX = "steadflow_standby"


class StandbyMetrics:
    """The metrics of one agent, on a registry of Prometheus of their own."""

    def __init__(self) -> None:
        """Declare them all."""
        self.registry = CollectorRegistry()
        self.phase = Gauge(
            f"{PREFIX}_phase", "1 for the phase of the join.", ["phase"], registry=self.registry
        )
        self.lines = Gauge(
            f"{PREFIX}_check_lines",
            "Lines of the last checks, by light.",
            ["light"],
            registry=self.registry,
        )
        self.copied_bytes = Gauge(
            f"{PREFIX}_copied_bytes", "Bytes of the snapshot that are here.", registry=self.registry
        )
        self.proven_until_s = Gauge(
            f"{PREFIX}_proven_until_seconds",
            "End of the last minute proven equal, Unix time; 0 before the first.",
            registry=self.registry,
        )
        self.failures = Counter(
            f"{PREFIX}_failures",
            "Times that a step of the join did not go and was tried again, by what was to be done.",
            ["work"],
            registry=self.registry,
        )
        self.http = http_histogram(PREFIX, self.registry)

    def show(self, joining: Joining) -> None:
        """Show how far the join is."""
        for phase in Phase:
            self.phase.labels(phase.name.lower()).set(phase is joining.phase)
        for light in Light:
            self.lines.labels(light.value).set(sum(line.light is light for line in joining.lines))
        self.copied_bytes.set(joining.bytes_done)
        self.proven_until_s.set(joining.proven_until_ms / 1000)

"""Every metric of the live rates."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class LiveMetrics:
    """The metrics of the live rates, on the central's registry."""

    def __init__(self, registry: CollectorRegistry, prefix: str) -> None:
        """Declare them all."""
        self.messages = Counter(
            f"{prefix}_live_messages",
            "Messages of rates read, by what became of them.",
            ["verdict"],
            registry=registry,
        )
        self.left_out = Counter(
            f"{prefix}_live_left_out_entries",
            "Sums of exporters beyond those that live rates have room for.",
            registry=registry,
        )
        self.restarts = Counter(
            f"{prefix}_live_restarts",
            "Starts of the live rates after an error of their own.",
            registry=registry,
        )
        self.entries = Gauge(
            f"{prefix}_live_entries",
            "Sums by second, exporter, interface and direction kept in memory.",
            registry=registry,
        )
        self.lag_s = Gauge(
            f"{prefix}_live_lag_seconds",
            "How long ago the live rates held everything that stood in the log; -1 before that.",
            registry=registry,
        )
        self.subscribers = Gauge(
            f"{prefix}_live_subscribers",
            "Clients that follow the live rates as server-sent events.",
            registry=registry,
        )

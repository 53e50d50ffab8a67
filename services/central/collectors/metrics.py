"""Every metric of the list of collectors."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class CollectorsMetrics:
    """The metrics of the list of collectors, on the central's registry."""

    def __init__(self, registry: CollectorRegistry, prefix: str) -> None:
        """Declare them all."""
        self.workers = Gauge(
            f"{prefix}_collector_workers",
            "Workers of collectors that said something on topic collectors within a week, by "
            "state: heard within 15 s, or silent.",
            ["state"],
            registry=registry,
        )
        self.refused = Counter(
            f"{prefix}_collector_records_refused",
            "Records on collectors that this release cannot read.",
            registry=registry,
        )

"""Metrics of proving that the centrals are equal."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class ProofMetrics:
    """One central's; registered in `registry`."""

    def __init__(self, registry: CollectorRegistry, prefix: str) -> None:
        """prefix: of every name, with its underscore left out."""
        self.differences = Gauge(
            f"{prefix}_proof_differences",
            "Closed minutes and hours that are not what another central holds, or not what they "
            "were when this one or another closed them.",
            registry=registry,
        )
        self.proven_until = Gauge(
            f"{prefix}_proof_proven_until_timestamp_seconds",
            "Every minute before is proven equal to that central's, Unix time; 0 none is.",
            ["central"],
            registry=registry,
        )
        self.scrubbed = Counter(
            f"{prefix}_proof_scrubbed_periods",
            "Closed minutes and hours whose digests were computed again.",
            registry=registry,
        )
        self.scrub_s = Counter(
            f"{prefix}_proof_scrub_seconds",
            "Time spent on computing digests again.",
            registry=registry,
        )
        self.cycle_s = Gauge(
            f"{prefix}_proof_scrub_cycle_seconds",
            "How long a change goes unseen at most: of the last hour, and of all that is older; 0 "
            "before the first cycle ended.",
            ["what"],
            registry=registry,
        )
        self.repairs = Counter(
            f"{prefix}_proof_repairs",
            "Repairs of single minutes and hours, by how they ended.",
            ["outcome"],
            registry=registry,
        )
        self.refused = Counter(
            f"{prefix}_proof_records_refused",
            "Records on digests that this release cannot read.",
            registry=registry,
        )
        self.published = Counter(
            f"{prefix}_proof_records_published",
            "Records of this central that topic digests took.",
            registry=registry,
        )

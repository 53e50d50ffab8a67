"""Metrics of a central's part in the roles."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_FAST_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class RolesMetrics:
    """One central's; registered in `registry`."""

    def __init__(self, prefix: str, registry: CollectorRegistry) -> None:
        """prefix: of every name, with its underscore left out."""
        self.epoch = Gauge(
            f"{prefix}_roles_epoch", "Epoch that this central knows; -1 none.", registry=registry
        )
        self.is_primary = Gauge(
            f"{prefix}_roles_primary", "1 while this central acts.", registry=registry
        )
        self.lost_heartbeats = Gauge(
            f"{prefix}_roles_lost_heartbeats",
            "Heartbeats that no broker acknowledged, since the start.",
            registry=registry,
        )
        self.refused_records = Gauge(
            f"{prefix}_roles_refused_records",
            "Records of ha.log and outbox that were refused, since the start.",
            registry=registry,
        )
        self.read_back_s = Histogram(
            f"{prefix}_roles_read_back_seconds",
            "From sending a heartbeat to reading it.",
            buckets=_FAST_S,
            registry=registry,
        )
        self.step_s = Histogram(
            f"{prefix}_roles_step_seconds",
            "Time of each step to acting.",
            ["step"],
            buckets=_FAST_S,
            registry=registry,
        )
        self.commits = Counter(
            f"{prefix}_roles_commits", "Transactions committed as the primary.", registry=registry
        )
        self.failed_commits = Counter(
            f"{prefix}_roles_failed_commits",
            "Transactions that failed, or whose outcome is unknown.",
            registry=registry,
        )
        self.kafka_away = Counter(
            f"{prefix}_roles_kafka_away", "Times ha.log could not be read.", registry=registry
        )

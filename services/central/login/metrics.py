"""Metrics of logins, refusals and the record of changes."""

from prometheus_client import CollectorRegistry, Counter


class LoginMetrics:
    """Declared on the central's registry."""

    def __init__(self, prefix: str, registry: CollectorRegistry) -> None:
        """Declare them all."""
        self.logins = Counter(
            f"{prefix}_logins", "Tries to log in, by result.", ["result"], registry=registry
        )
        self.refused = Counter(
            f"{prefix}_refused_requests",
            "Requests that were refused before anything looked at them, by reason.",
            ["reason"],
            registry=registry,
        )
        self.audit_lost = Counter(
            f"{prefix}_audit_lost",
            "Changes whose record could not be appended to topic `audit`.",
            registry=registry,
        )
        self.audit_refused = Counter(
            f"{prefix}_audit_refused",
            "Records of topic `audit` that this release cannot read.",
            registry=registry,
        )

"""What the launcher could not open as it was asked to, told to the command that asked."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from shared.network import Network, NetworkError


def shown(network: Network | None) -> dict[str, Any] | None:
    """Return it as `run.json` has it."""
    return None if network is None else asdict(network)


def refusals(facts: Mapping[str, Any] | None) -> int:
    """Return how often a launcher could not open as it was asked to. facts: its `run.json`."""
    return int(((facts or {}).get("network") or {}).get("refusals", 0))


def check_refused(facts: Mapping[str, Any] | None, wanted: Network | None, before: int) -> None:
    """Raise NetworkError if `wanted` was refused since there were `before` refusals."""
    if refusals(facts) != before and facts is not None:
        noted = facts["network"]
        if noted["refused"] == shown(wanted):
            raise NetworkError(noted["problem"])

"""What a request for repair means here; pure."""

from typing import Final

from services.central.proof.ledger import Ledger
from shared.digest_records import HOUR, MINUTE, PERIOD_MS, Period

REPAIRS_MAX: Final = 1_000
"""Taken by one request, the oldest first."""


class RepairRefused(Exception):
    """It cannot be repaired here; the text is one sentence."""


def choose(ledger: Ledger, wanted: Period | None) -> list[Period]:
    """Return `wanted`, or every period that differs and is not known to be right here.

    An hour goes with its minute. Raises RepairRefused where there is nothing to do here.
    """
    if wanted is not None:
        return [wanted]
    differences = ledger.differences()
    here = {each.period for each in differences if ledger.may_be_wrong_here(each)}
    if not here:
        others = sorted({name for each in differences for name in each.wrong})
        if others:
            raise RepairRefused(
                f"what differs is wrong on {', '.join(others)}, and can be repaired only there"
            )
        raise RepairRefused("nothing differs")
    hour_ms = PERIOD_MS[HOUR]
    with_minutes = {
        (period.stream, period.starts_ms // hour_ms * hour_ms)
        for period in here
        if period.level == MINUTE
    }
    chosen = [
        period
        for period in here
        if period.level == MINUTE or (period.stream, period.starts_ms) not in with_minutes
    ]
    return sorted(chosen, key=lambda each: (each.starts_ms, each))[:REPAIRS_MAX]

"""What a request for repair means here; pure."""

from services.central.metadata.repairs import REPAIRS_MAX
from services.central.proof.ledger import Ledger
from shared.digest_records import HOUR, MINUTE, PERIOD_MS, Period


class RepairRefused(Exception):
    """It cannot be repaired here; the text is one sentence."""


def choose(ledger: Ledger, wanted: Period | None) -> list[Period]:
    """Return `wanted`, or every period that differs and is not known to be right here.

    Of many the oldest. An hour goes with its minute. Raises RepairRefused where there is nothing
    to do here.
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

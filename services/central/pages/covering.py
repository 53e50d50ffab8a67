"""How much of a range is kept of the rows that answer a question; pure."""

from collections.abc import Sequence

from services.central.pages.units import age
from services.central.reports import Kept, Statement


def covered(statements: Sequence[Statement], kept: Kept) -> tuple[int, int]:
    """Return from when to when all `statements` have their rows, ms, UTC.

    All that they cover where no row is kept: their sums are nothing then.
    """
    from_ms = min(each.from_ms for each in statements)
    to_ms = max(each.to_ms for each in statements)
    since_ms = kept.raw_from_ms if is_of_records(statements) else kept.hours_from_ms
    return (max(from_ms, since_ms), to_ms) if since_ms < to_ms else (from_ms, to_ms)


def is_of_records(statements: Sequence[Statement]) -> bool:
    """Tell whether some of the reports have no roll-up, so that flow records alone answer them."""
    return any(each.source == "raw" for each in statements)


def records_note(kept: Kept, now_ms: int) -> str:
    """Return what is said of an answer from all the flow records that are kept."""
    return f"from flow records of the last {age((now_ms - kept.raw_from_ms) / 1000)}"

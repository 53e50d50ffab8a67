"""For how long nobody acted before a takeover, by the log's clock; pure."""

from collections.abc import Mapping
from typing import NamedTuple

from shared.roles.fold import Folded
from shared.roles.records import Claim, DeathNotice, Handover, Heartbeat

_KEPT = 64


class Vacancy(NamedTuple):
    """last_ms: when an incarnation was last known to live, or was seen to end, by name.

    began_ms: since when nobody acted before the newest epoch; None when it is the first.
    claimed_ms: when the claim of that epoch was appended.
    """

    last_ms: Mapping[str, int] = {}  # never changed in place
    began_ms: int | None = None
    claimed_ms: int = 0


def evolve(vacancy: Vacancy, folded: Folded) -> Vacancy:
    """Fold one record of the log."""
    record, at_ms = folded.record, folded.append_ms
    match record:
        case Heartbeat() | DeathNotice() | Handover():
            if isinstance(record, Heartbeat) and folded.before.handover is not None:
                # Who handed over lives on, and does not act.
                return vacancy
            last_ms = {**vacancy.last_ms, record.incarnation: at_ms}
            if len(last_ms) > _KEPT:
                del last_ms[min(last_ms, key=last_ms.__getitem__)]
            return vacancy._replace(last_ms=last_ms)
        case Claim() if folded.state.epoch == folded.offset:
            began_ms = vacancy.last_ms.get(folded.before.holder)
            return vacancy._replace(began_ms=began_ms, claimed_ms=at_ms)
        case _:
            return vacancy


def seconds(vacancy: Vacancy, since_claim_s: float) -> float | None:
    """Return for how long nobody acted, `since_claim_s` after the claim was read; None at first."""
    if vacancy.began_ms is None:
        return None
    return round(max(0, vacancy.claimed_ms - vacancy.began_ms) / 1000 + since_claim_s, 3)

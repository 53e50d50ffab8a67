"""The proof as the API tells it; pure."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from services.central.instants import format_instant
from services.central.metadata.repairs import Repair
from services.central.proof.compare import Difference
from services.central.proof.ledger import Copy, Ledger, Proven
from services.central.proof.scrub_order import Round, ScrubOrder
from shared.digest_records import MINUTE, PERIOD_MS, Period

Json = dict[str, Any]  # Any: JSON.
SHOWN_MAX: Final = 100

_PERIOD: Final[Json] = {
    "stream": "00c0ffee00c0ffee",
    "level": "minute",
    "starts_at": "2026-03-02T14:30:00.000Z",
}
REPAIR_EXAMPLE: Final[Json] = {
    **_PERIOD,
    "number": 3,
    "noted_at": "2026-03-02T14:32:10.000Z",
    "finished_at": None,
    "outcome": "",
}
EXAMPLE: Final[Json] = {
    "central": "central-b",
    "proven": [
        {
            "central": "central-a",
            "last_proven_minute": "2026-03-02T14:29:00.000Z",
            "differences": 1,
        }
    ],
    "copy": {"last_proven_minute": "2026-03-02T14:29:00.000Z", "differences": 1},
    "differences_total": 1,
    "differences": [
        {
            **_PERIOD,
            "central": "central-a",
            "parts": ["raw"],
            "wrong": ["central-b"],
            "exporters": ["192.0.2.1"],
            "exporters_more": 0,
        }
    ],
    "scrub": {
        "last_hour_found_within_s": 20.4,
        "older_found_within_s": 240.5,
        "last_hour": {"took_s": 1.2, "done": 2, "total": 2},
        "older": {"took_s": 240.5, "done": 41, "total": 336},
    },
    "under_repair": [_PERIOD],
    "repairs": [REPAIR_EXAMPLE],
}


def proof_view(
    ledger: Ledger,
    copy: Copy,
    order: ScrubOrder,
    under_repair: Iterable[Period],
    repairs: Sequence[Repair],
) -> Json:
    """Return all of it; of many differences the oldest."""
    differences = ledger.differences()
    return {
        "central": ledger.central,
        "proven": [_proven(each) for each in ledger.proven()],
        "copy": _how_far(copy),
        "differences_total": len(differences),
        "differences": [_difference(each) for each in differences[:SHOWN_MAX]],
        "scrub": {
            "last_hour_found_within_s": _rounded(order.found_within_s),
            "older_found_within_s": _rounded(order.older_found_within_s),
            "last_hour": _round(order.recent),
            "older": _round(order.older),
        },
        "under_repair": [period_view(period) for period in under_repair],
        "repairs": [repair_view(each) for each in repairs],
    }


def period_view(period: Period) -> Json:
    """Return which minute or hour of which stream it is."""
    return {
        "stream": f"{period.stream:016x}",
        "level": "minute" if period.level == MINUTE else "hour",
        "starts_at": format_instant(period.starts_ms),
    }


def repair_view(repair: Repair) -> Json:
    """Return one repair; `outcome` is a sentence once it is finished."""
    finished = format_instant(repair.finished_ms) if repair.finished_ms else None
    return {
        **period_view(repair.period),
        "number": repair.number,
        "noted_at": format_instant(repair.noted_ms),
        "finished_at": finished,
        "outcome": repair.outcome,
    }


def _proven(proven: Proven) -> Json:
    return {"central": proven.central, **_how_far(proven)}


def _how_far(proven: Proven | Copy) -> Json:
    last_ms = proven.until_ms - PERIOD_MS[MINUTE]
    return {
        "last_proven_minute": format_instant(last_ms) if proven.until_ms else None,
        "differences": proven.differences,
    }


def _difference(difference: Difference) -> Json:
    return {
        **period_view(difference.period),
        "central": difference.central,
        "parts": [str(part) for part in difference.parts],
        "wrong": list(difference.wrong),
        "exporters": list(difference.exporters),
        "exporters_more": difference.exporters_more,
    }


def _round(each: Round) -> Json:
    return {"took_s": _rounded(each.took_s), "done": each.done, "total": len(each.chunks)}


def _rounded(duration_s: float | None) -> float | None:
    return None if duration_s is None else round(duration_s, 3)

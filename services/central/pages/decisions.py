"""The history of roles as it is read by whoever is asked what happened last night; pure."""

from collections.abc import Iterable, Sequence
from typing import Any

from services.central.pages.lost import DASH, Compared, lost
from shared.roles.history import Entry

Model = dict[str, Any]  # Any: nested JSON as `static/sf_failover.js` reads it.
SHOWN_MAX = 200
_REASONS = {
    "start": "First start",
    "switchover": "Planned switchover",
    "failover by hand": "Named by a person",
    "seen dead": "The process of {} ended",
    "silent": "{} fell silent",
    "did not act": "{} lived, but did not act",
    "handover was not answered": "A handover was not answered",
}


def decisions(entries: Iterable[Entry], compared: Compared, now_ms: int) -> Sequence[Model]:
    """Return the newest first. entries: of `ha.history`, the oldest first."""
    rows: list[Model] = []
    primary, is_paused = "", None
    for entry in entries:
        match entry["is"]:
            case "acts":
                rows.append(_takeover(entry, primary, compared, now_ms))
                primary = str(entry["primary"])
            case "config":
                row = _row(entry, _policy(entry, is_paused), f"through {entry['by']}")
                rows.append({**row, "stands_alone": is_paused is not None})
                is_paused = bool(entry["is_paused"])
            case _:
                rows.append(_other(entry))
    return rows[::-1][:SHOWN_MAX]


def node_of(incarnation: str) -> str:
    """Return the node of a process: the part before its boot id."""
    return incarnation.rpartition("/")[0] or incarnation


def _takeover(entry: Entry, before: str, compared: Compared, now_ms: int) -> Model:
    who, reason, took_s = str(entry["primary"]), str(entry["reason"]), entry["took_s"]
    if not before or took_s is None:
        what = f"{who} became primary"
    elif before == who:
        what = f"{who} became primary again"
    else:
        what = f"{who} took over from {before}"
    row = _row(entry, what, _REASONS.get(reason, reason).format(before or "the one before"))
    found = lost(int(entry["at_ms"]), took_s, compared, now_ms)
    return {
        **row,
        "is_takeover": True,
        "took": DASH if took_s is None else f"{took_s:.2f} s",
        "lost": found.text,
        "lost_title": found.title,
        "lost_level": found.level,
    }


def _other(entry: Entry) -> Model:
    match entry["is"]:
        case "claim":
            reason = str(entry["reason"])
            what = f"{node_of(str(entry['incarnation']))} was chosen"
            forced = ", forced" if entry.get("is_forced") else ""
            return _row(entry, what, f"{reason}, by {node_of(str(entry['by']))}{forced}")
        case "death":
            what = f"The process of {node_of(str(entry['incarnation']))} ended"
            return _row(entry, what, f"seen by {entry['seen_by']}")
        case "departure":
            return _row(entry, f"{entry['node']} left for good", f"through {entry['by']}")
        case "handover":
            what = f"{node_of(str(entry['incarnation']))} handed over"
            return _row(entry, what, f"to {node_of(str(entry['to']))}")
        case "request":
            to = f" to {entry['to']}" if entry["to"] else ""
            return _row(entry, f"A person asked for a switchover{to}", f"through {entry['by']}")
        case other:
            return _row(entry, str(other), "")


def _policy(entry: Entry, was_paused: bool | None) -> str:
    if was_paused is not None and bool(entry["is_paused"]) != was_paused:
        return "Failover was resumed" if was_paused else "Failover was paused"
    return (
        f"Policy: dead after {entry['dead_ticks']} ticks of {entry['period_ms']} ms"
        f"{', paused' if entry['is_paused'] else ''}"
    )


def _row(entry: Entry, what: str, why: str) -> Model:
    return {
        "id": f"{entry['generation']}/{entry['offset']}/{entry['is']}",
        "at": int(entry["at_ms"]),
        "what": what,
        "why": why,
        "is_takeover": False,
    }

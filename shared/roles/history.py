"""Entries of `ha.history`: every decision of `ha.log`, kept for ever in a chain of hashes; pure.

Each entry names the hash of the one before, so that one taken out or changed is found.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.roles.fold import RolesState, refusal
from shared.roles.records import (
    Claim,
    Config,
    DeathNotice,
    Departure,
    Handover,
    Record,
    SwitchoverRequest,
    encode_record,
)

FIRST: Final = "0" * 64
"""What the first entry names as the hash before it."""

Entry = Mapping[str, Any]  # Any: JSON.


class HistoryError(ValueError):
    """An entry that cannot be read."""


@dataclass(frozen=True, slots=True)
class Tail:
    """Where the chain ends. generation, offset: of the last decision copied; -1 before any."""

    hash: str = FIRST
    generation: int = -1
    offset: int = -1

    @property
    def order(self) -> tuple[int, int]:
        """Decisions at or before this place are copied."""
        return self.generation, self.offset


def is_decision(before: RolesState, record: Record) -> bool:
    """Whether `record`, folded into `before`, decides something and belongs into history."""
    match record:
        case Config():
            return True
        case DeathNotice():
            return before.config is not None and record.incarnation not in before.dead
        case Claim() | Handover() | SwitchoverRequest() | Departure():
            return before.config is not None and not refusal(before, record)
        case _:
            return False


def decision_entry(record: Record, *, generation: int, offset: int, at_ms: int) -> dict[str, Any]:
    """Return the entry of a decision of `ha.log`, without its place in the chain.

    generation: of the log, whatever a `Config` says that came to a log which has one already. The
    higher one would stand after all that is still decided in this log.
    """
    content: dict[str, Any] = json.loads(encode_record(record))
    return content | {"generation": generation, "offset": offset, "at_ms": at_ms}


def takeover_entry(
    *, generation: int, epoch: int, at_ms: int, primary: str, reason: str, took_s: float | None
) -> dict[str, Any]:
    """Return the entry that says when the primary of `epoch` began to act."""
    return {
        "generation": generation, "offset": epoch, "at_ms": at_ms, "is": "acts",
        "primary": primary, "reason": reason, "took_s": took_s,
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Takeover:
    """A primary began to act. at_ms: UTC; took_s: nobody acted for so long, None at first."""

    at_ms: int
    primary: str
    reason: str
    took_s: float | None


def takeover_of(entry: Entry) -> Takeover | None:
    """Return the takeover that an entry tells of; None when it tells of something else."""
    if entry.get("is") != "acts":
        return None
    took_s = entry.get("took_s")
    return Takeover(
        int(entry["at_ms"]),
        str(entry["primary"]),
        str(entry["reason"]),
        None if took_s is None else float(took_s),
    )


def chained(entries: Iterable[Mapping[str, Any]], tail: Tail) -> tuple[list[bytes], Tail]:
    """Return the entries as values of messages that follow `tail`, and the tail behind them."""
    values = []
    for entry in entries:
        content = {**entry, "before": tail.hash}
        linked = {**content, "hash": _hash(content)}
        values.append(_text(linked))
        tail = tail_after(tail, linked)
    return values, tail


def read_entry(value: bytes | None) -> Entry:
    """Return an entry. Raises HistoryError."""
    try:
        entry = json.loads(value or b"")
        place = entry["generation"], entry["offset"]
        if not isinstance(entry["hash"], str) or not all(type(one) is int for one in place):
            raise HistoryError("an entry without its place")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise HistoryError(f"no entry of ha.history: {error!r}"[:200]) from error
    return dict(entry)


def tail_after(tail: Tail, entry: Entry) -> Tail:
    """Return the end of the chain behind `entry`, as it says."""
    place = int(entry["generation"]), int(entry["offset"])
    return Tail(str(entry["hash"]), *max(tail.order, place))


def problems(entries: Iterable[Entry], before: str = FIRST) -> Iterator[str]:
    """Yield what is wrong with a chain, one sentence each. before: hash of the entry before it."""
    for number, entry in enumerate(entries, 1):
        content = {name: value for name, value in entry.items() if name != "hash"}
        if content.get("before") != before:
            yield f"entry {number} does not follow the one before it"
        if _hash(content) != entry.get("hash"):
            yield f"entry {number} was changed"
        before = str(entry.get("hash"))


def _hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(_text(content)).hexdigest()


def _text(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

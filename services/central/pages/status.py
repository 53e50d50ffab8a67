"""How fresh a central's numbers are, in a word and a sentence; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.central.pages.units import age, count

BEHIND_S: Final = 5.0
HEARD_S: Final = 15.0
"""A living collector sends at least a mark each second."""
QUIET_S: Final = 90.0
"""Routers export a flow that goes on once a minute by default."""


class Level(StrEnum):
    """How much a person has to care."""

    GOOD = "good"
    CALM = "calm"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Status:
    """word: at most three words; sentence: what it means; lag_s: None before anything was read."""

    level: Level
    word: str
    sentence: str
    lag_s: float | None


@dataclass(frozen=True, slots=True)
class Collector:
    """A collector's worker, `name/index`, and when it was last heard, s ago."""

    worker: str
    heard_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a central knows of its own freshness.

    reasons: why it is not ready, by condition. waiting: messages of the log not applied yet.
    newest_ms: latest `received_at` of any record or mark applied; flows_ms: of any flow record;
    both 0 for none.
    """

    now_ms: int
    reasons: Mapping[str, str]
    waiting: int
    newest_ms: int
    flows_ms: int


_TROUBLES: Final = (
    ("schema", "Upgrade needed", "A newer release writes the log; this one stands still."),
    ("store", "Store trouble", "The store takes no rows; nothing is lost while Kafka keeps them."),
    ("metadata", "Database trouble", "The metadata database does not answer; writing waits."),
    ("kafka", "Kafka trouble", "Kafka does not answer; collectors keep everything meanwhile."),
)


def status(heard: Heard) -> Status:
    """Return the one thing that matters most."""
    lag_s = max(0, heard.now_ms - heard.newest_ms) / 1000 if heard.newest_ms else None
    for condition, word, sentence in _TROUBLES:
        if condition in heard.reasons:
            if heard.reasons[condition] == "starting":
                return Status(Level.WARN, "Starting", "It reads where it stands.", lag_s)
            return Status(Level.BAD, word, f"{sentence} ({heard.reasons[condition]})", lag_s)
    if lag_s is None:
        return Status(Level.CALM, "Waiting", "No collector has sent anything yet.", None)
    if heard.waiting and lag_s > BEHIND_S:
        waiting = f"{count(heard.waiting)} messages wait in Kafka"
        sentence = f"{waiting}; the newest numbers are {age(lag_s)} old."
        return Status(Level.WARN, "Behind", sentence, lag_s)
    if lag_s > HEARD_S:
        sentence = f"No collector was heard for {age(lag_s)}."
        return Status(Level.WARN, "No collector", sentence, lag_s)
    flows_s = max(0, heard.now_ms - heard.flows_ms) / 1000 if heard.flows_ms else None
    if flows_s is None or flows_s > QUIET_S:
        since = "yet" if flows_s is None else f"for {age(flows_s)}"
        return Status(Level.CALM, "Quiet", f"A collector listens; no flow came {since}.", lag_s)
    return Status(Level.GOOD, "Receiving", f"Numbers are complete up to {lag_s:.1f} s ago.", lag_s)

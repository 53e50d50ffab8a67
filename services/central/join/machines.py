"""What machines say that join or stand by: kept in memory, and on the primary only."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from services.central.answers import Json
from services.central.instants import format_instant
from shared.audit import plain_text

MACHINES_MAX = 16
KEPT_MS = 24 * 3600 * 1000
"""A machine that said nothing for so long is listed no more."""
LATE_MS = 180_000
"""An agent reports every ten seconds, one of an older release every minute."""
FORCED_CHARACTERS = 250
_TEXT = Field("", max_length=300)


class ReportedLine(BaseModel):
    """One check of a machine, as its agent judged it."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    check: str = Field(max_length=60)
    light: str = Field(pattern="^(green|amber|red)$")
    found: str = _TEXT
    remedy: str = _TEXT


class Report(BaseModel):
    """How far a machine is, as its agent says.

    forced: names of the red lines in spite of which it joined, by checks at forced_ms, UTC.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    phase: str = Field(pattern="^[a-z]{1,40}$")
    says: str = Field("", max_length=100)
    lines: list[ReportedLine] = Field(default=[], max_length=32)
    checked_ms: int = Field(0, ge=0, lt=1 << 53)
    bytes_done: int = Field(0, ge=0, lt=1 << 63)
    bytes_total: int = Field(0, ge=0, lt=1 << 63)
    bytes_per_s: float = Field(0.0, ge=0, lt=1e15)
    eta_s: float | None = Field(None, ge=0, lt=1e12)
    pace: str = _TEXT
    pace_light: str = Field("green", pattern="^(green|amber|red)$")
    problem: str = _TEXT
    is_stuck: bool = False
    copies_only: bool = False
    forced: list[Annotated[str, Field(max_length=60)]] = Field(default=[], max_length=32)
    forced_ms: int = Field(0, ge=0, lt=1 << 53)


@dataclass(frozen=True, slots=True)
class Heard:
    """A report, and when it came: UTC, ms."""

    report: Report
    at_ms: int


class Machines:
    """The last report of each machine."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        """Nothing was heard. now_ms: UTC."""
        self._now_ms = now_ms
        self._heard: dict[str, Heard] = {}

    def hear(self, report: Report) -> None:
        """Keep a report; of too many machines the one that was silent longest goes."""
        self._heard[report.name] = Heard(report, self._now_ms())
        while len(self._heard) > MACHINES_MAX:
            del self._heard[min(self._heard, key=lambda name: self._heard[name].at_ms)]

    def forget(self, name: str) -> None:
        """Drop what a machine said."""
        self._heard.pop(name, None)

    def known(self) -> list[Heard]:
        """Return what is not too old, by name."""
        since_ms = self._now_ms() - KEPT_MS
        self._heard = {name: each for name, each in self._heard.items() if each.at_ms >= since_ms}
        return [self._heard[name] for name in sorted(self._heard)]


def forced_facts(report: Report) -> str:
    """Return what is noted of a join in spite of red lines; empty for any other."""
    if not report.forced:
        return ""
    names = plain_text(", ".join(report.forced), length=FORCED_CHARACTERS)
    return f"name={report.name} checked={format_instant(report.forced_ms)} forced={names}"


def row_of(heard: Heard) -> Json:
    """Return a report as the API lists it."""
    return {**heard.report.model_dump(), "reported_ms": heard.at_ms}

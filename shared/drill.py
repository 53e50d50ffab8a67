"""A drill: a takeover made on purpose, what was found before and after it, and what that proves.

Pure. A drill is an event on topic `drills`: one record when it begins, one in its place when it has
ended. Its schema only grows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated, Any, Final, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError

PROMISED_S: Final = 0.5
"""For how long nobody acts at most, in 99 of 100 takeovers of either kind."""
DRILL_MAX_MS: Final = 10 * 60_000
"""One that has not ended by then never will: whoever ran it is gone."""
BYTES_MAX: Final = 48 * 1024
NAMED_MAX: Final = 20
SUMS: Final = ("flows", "bytes", "packets")

_Name = Annotated[str, Field(max_length=255)]
_Text = Annotated[str, Field(max_length=1000)]
_Count = Annotated[int, Field(ge=0, lt=1 << 63)]
_Sums = Annotated[dict[_Name, dict[_Name, _Count]], Field(max_length=64)]
DRILL_ID: Final = r"^[0-9a-f]{16}$"


class DrillError(ValueError):
    """The drill cannot be, or its record cannot be read; the text is one sentence."""


class Kind(StrEnum):
    """How the primary loses its role."""

    SWITCHOVER = "switchover"
    KILL = "kill"


class Verdict(StrEnum):
    """What a drill proves."""

    RUNNING = "running"
    BROKEN_OFF = "broken off"
    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Look:
    """The cluster at one moment.

    roles, totals: by node; totals are of everything that a central holds. collectors: how many are
    heard; unaware: those that name another primary or epoch. differences: of digests, over all
    centrals. entries: of the history that follow the one of `tail` at the first look; chain: what
    is wrong with them. takeover_s: nobody acted for so long before the primary of `epoch`.
    """

    at_ms: _Count
    epoch: int
    primary: _Name
    roles: Annotated[dict[_Name, _Name], Field(max_length=64)] = field(default_factory=dict)
    totals: _Sums = field(default_factory=dict)
    collectors: _Count = 0
    unaware: Annotated[list[_Name], Field(max_length=NAMED_MAX)] = field(default_factory=list)
    differences: _Count = 0
    tail: _Name = ""
    entries: _Count = 0
    takeovers: _Count = 0
    chain: _Text = ""
    takeover_s: Annotated[float, Field(ge=0)] | None = None


@dataclass(frozen=True, slots=True)
class Drill:
    """All that a report tells.

    from_ms, to_ms: the range of which `counted` holds each central's sums, once all is settled.
    ended_ms: 0 while it runs. error: why it could not be ended as it should; or empty.
    """

    id: Annotated[str, Field(pattern=DRILL_ID)]
    kind: Kind
    run_by: _Name
    started_ms: _Count
    ended_ms: _Count = 0
    from_ms: _Count = 0
    to_ms: _Count = 0
    before: Look | None = None
    after: Look | None = None
    counted: _Sums = field(default_factory=dict)
    error: _Text = ""

    @property
    def rto_s(self) -> float | None:
        """Seconds for which nobody acted; None while that is not known."""
        return None if self.after is None else self.after.takeover_s

    @property
    def lost(self) -> int | None:
        """Flows that one central has and another has not; None while not known."""
        flows = [sums.get("flows", 0) for sums in self.counted.values()]
        return max(flows) - min(flows) if len(flows) > 1 else None


class Check(NamedTuple):
    """One promise, whether it was kept, and what was found."""

    promise: str
    is_kept: bool
    found: str


_ADAPTER: Final = TypeAdapter(Drill)


def encode_drill(drill: Drill) -> bytes:
    """Return the value of its record."""
    return _ADAPTER.dump_json(drill)


def decode_drill(value: bytes | None) -> Drill:
    """Read the value of a record; unknown fields are left out. Raises DrillError."""
    if value is None or len(value) > BYTES_MAX:
        raise DrillError(f"no drill, or one of more than {BYTES_MAX} bytes")
    try:
        return _ADAPTER.validate_json(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "drill"
        raise DrillError(f"{where}: {first['msg']}"[:300]) from error


def verdict(drill: Drill, now_ms: int) -> Verdict:
    """Return what it proves at `now_ms`."""
    if not drill.ended_ms:
        is_over = now_ms - drill.started_ms > DRILL_MAX_MS
        return Verdict.BROKEN_OFF if is_over else Verdict.RUNNING
    found = checks(drill)
    # What was not looked at proves nothing.
    is_good = bool(found) and not drill.error and all(each.is_kept for each in found)
    return Verdict.PASSED if is_good else Verdict.FAILED


def checks(drill: Drill) -> list[Check]:
    """Return every promise with what was found; none before both looks were taken."""
    before, after = drill.before, drill.after
    if before is None or after is None:
        return []
    return [
        _one_primary(before, after),
        Check(
            "The epoch grew",
            after.epoch > before.epoch,
            f"{before.epoch}, then {after.epoch}",
        ),
        Check(
            "One takeover, and no needless second",
            after.takeovers == 1,
            f"{_counted(after.takeovers, 'takeover')} in the history since the drill began",
        ),
        Check(
            "Every collector knows the primary",
            not after.unaware,
            f"{_counted(after.collectors, 'collector')}, all of them"
            if not after.unaware
            else f"not known to {', '.join(after.unaware)}",
        ),
        _same_counts(drill),
        _nothing_missing(before, after),
        Check(
            "Digests of closed minutes differ nowhere",
            after.differences == 0,
            _counted(after.differences, "difference"),
        ),
        Check(
            "The history is whole",
            not after.chain,
            after.chain or f"{_counted(after.entries, 'new entry', 'new entries')}, chained",
        ),
    ]


def is_slow(drill: Drill) -> bool:
    """Whether it took longer than is promised of 99 in 100: said, but no promise broken."""
    return drill.rto_s is not None and drill.rto_s > PROMISED_S


def summary(drill: Drill, now_ms: int) -> dict[str, Any]:  # Any: JSON.
    """Return what a list shows of it."""
    after = drill.after
    return {
        "id": drill.id,
        "kind": drill.kind.value,
        "run_by": drill.run_by,
        "started_ms": drill.started_ms,
        "ended_ms": drill.ended_ms or None,
        "verdict": verdict(drill, now_ms).value,
        "from": None if drill.before is None else drill.before.primary,
        "to": None if after is None else after.primary,
        "rto_s": drill.rto_s,
        "records_lost": drill.lost,
        "error": drill.error,
    }


def report_json(drill: Drill, now_ms: int) -> dict[str, Any]:  # Any: JSON.
    """Return the whole report, with what it proves."""
    content: dict[str, Any] = _ADAPTER.dump_python(drill, mode="json")
    return {
        **content,
        **summary(drill, now_ms),
        "promised_s": PROMISED_S,
        "checks": [each._asdict() for each in checks(drill)],
    }


def begin_problem(known: Sequence[Drill], wanted: Drill, now_ms: int) -> str:
    """Return why `wanted` may not begin or end now; empty when it may."""
    for each in known:
        if each.id == wanted.id:
            if each.ended_ms:
                return f"drill {each.id} has ended"
        elif not wanted.ended_ms and verdict(each, now_ms) is Verdict.RUNNING:
            return "another drill runs: there is one at a time"
    return ""


def ended(drill: Drill, now_ms: int, error: str = "") -> Drill:
    """Return it as it stands at its end."""
    return replace(drill, ended_ms=now_ms, error=error[:1000])


def _one_primary(before: Look, after: Look) -> Check:
    primaries = sorted(name for name, role in after.roles.items() if role == "primary")
    away = sorted(
        name for name in before.roles if after.roles.get(name) not in ("primary", "standby")
    )
    is_kept = primaries == [after.primary] and after.primary != before.primary and not away
    found = f"{before.primary or 'nobody'}, then {' and '.join(primaries) or 'nobody'}"
    return Check(
        "One primary, another one, and all others are standby",
        is_kept,
        f"{found}; not back: {', '.join(away)}" if away else found,
    )


def _same_counts(drill: Drill) -> Check:
    sums = list(drill.counted.values())
    is_kept = len(sums) > 1 and all(
        each.get(name) == sums[0].get(name) for each in sums for name in SUMS
    )
    said = "; ".join(f"{name} {each.get('flows', 0):,}" for name, each in drill.counted.items())
    return Check("All centrals counted the same", is_kept, f"flows: {said or 'none compared'}")


def _nothing_missing(before: Look, after: Look) -> Check:
    less = [
        name
        for name, sums in before.totals.items()
        if any(after.totals.get(name, {}).get(each, 0) < sums.get(each, 0) for each in SUMS)
    ]
    grown = max(
        (_flows(after.totals, name) - _flows(before.totals, name) for name in before.totals),
        default=0,
    )
    found = f"missing on {', '.join(less)}" if less else f"{grown:,} flows came meanwhile"
    return Check("Nothing that was counted before is missing", not less, found)


def _flows(totals: Mapping[str, Mapping[str, int]], name: str) -> int:
    return totals.get(name, {}).get("flows", 0)


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or f'{one}s'}"

"""How far a machine is on its way to being a proven hot standby, and what is owed next; pure.

The state is kept on disk after each event: whoever was interrupted goes on from there.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple, assert_never

from services.standby.copy_time import COPY_CHECK
from services.standby.preflight import Light, Line, stops


class Phase(StrEnum):
    """What a join is at; the value is what people read."""

    REGISTERING = "registers with the primary"
    CHECKING = "checks this machine against the primary"
    REFUSED = "refused: see the red lines"
    ASKING = "asks the primary for a snapshot"
    COPYING = "copies the snapshot"
    RESTORING = "puts the copy in place"
    FOLLOWING = "catches up with the log"
    PROVING = "compares the copy with the primary"
    STANDBY = "hot standby"


class Work(StrEnum):
    """What whoever drives a join does next."""

    REGISTER = "register"
    CHECK = "check"
    ASK_SNAPSHOT = "ask for a snapshot"
    COPY = "copy"
    RESTORE = "wait until the central answers"
    FOLLOW = "wait until it has caught up"
    PROVE = "wait until it is proven equal"
    WATCH = "watch"
    NOTHING = "wait for a person"


class Joining(NamedTuple):
    """One join. is_forced: a person wants it in spite of red lines.

    lines: of the last checks. snapshot: its path, empty without one; before another one is asked
    for it is released. snapshot_at: URL of the central that has it, empty for the primary of the
    join. bytes_done, bytes_total: of the copy. snapshot_ms: when it was made; UTC. given_up: so
    many snapshots in a row were of no use. problem: what went wrong last, empty when nothing did;
    is_stuck: and trying again is of no use.
    proven_until_ms: end of the last minute proven equal, 0 before; UTC. checked_ms: when the last
    checks were made; UTC. bytes_per_s, eta_s: of the copy now, 0 and None while nothing is known.
    pace, pace_light: whether the copy ends in time, in a sentence. again: why a standby copies the
    primary once more; empty for a first copy. forced: names of the red lines in spite of which it
    joined last; forced_ms: when these checks were made; UTC.
    """

    phase: Phase = Phase.REGISTERING
    is_forced: bool = False
    lines: Sequence[Line] = ()
    snapshot: str = ""
    bytes_done: int = 0
    bytes_total: int = 0
    snapshot_ms: int = 0
    problem: str = ""
    is_stuck: bool = False
    proven_until_ms: int = 0
    checked_ms: int = 0
    bytes_per_s: float = 0.0
    eta_s: float | None = None
    pace: str = ""
    pace_light: str = Light.GREEN.value
    again: str = ""
    forced: Sequence[str] = ()
    forced_ms: int = 0
    snapshot_at: str = ""
    given_up: int = 0


class Registered(NamedTuple):
    """The primary admitted this machine."""


class Checked(NamedTuple):
    """All checks were made, at `at_ms`, UTC."""

    lines: Sequence[Line]
    at_ms: int = 0


class SnapshotMade(NamedTuple):
    """A central holds a snapshot for this machine. at: its URL, empty for that of the join."""

    snapshot: str
    made_ms: int
    at: str = ""


class Copied(NamedTuple):
    """So much of the snapshot is here; is_whole: all of it, and it was verified.

    bytes_per_s, eta_s, pace, pace_light: as of `Joining`.
    """

    bytes_done: int
    bytes_total: int
    is_whole: bool = False
    bytes_per_s: float = 0.0
    eta_s: float | None = None
    pace: str = ""
    pace_light: str = Light.GREEN.value


class SnapshotLost(NamedTuple):
    """That snapshot is there no more, or cannot be used: another one.

    is_kept: whoever made it has it still, and would offer it again.
    """

    problem: str
    is_kept: bool = False


class Restored(NamedTuple):
    """The central here answers, out of the copy."""


class CaughtUp(NamedTuple):
    """The central here has read the log to its end."""


class Proven(NamedTuple):
    """Every minute until then is equal on both centrals; UTC."""

    until_ms: int


class TooOld(NamedTuple):
    """Kafka has no longer what the central here would read next: it needs another copy."""

    why: str


class Released(NamedTuple):
    """No central keeps a snapshot for this machine any more."""


class Failed(NamedTuple):
    """What was tried did not go; it is tried again unless that is of no use: `is_final`."""

    problem: str
    is_final: bool = False


class Forced(NamedTuple):
    """A person wants the join in spite of red lines."""


Event = (
    Registered | Checked | SnapshotMade | Copied | SnapshotLost | Restored | CaughtUp | Proven
    | TooOld | Released | Failed | Forced
)  # fmt: skip

_AFTER_CHECKS = (Phase.CHECKING, Phase.REFUSED)
_WITH_A_STORE = (Phase.FOLLOWING, Phase.PROVING, Phase.STANDBY)


def evolve(joining: Joining, event: Event) -> Joining:
    """Fold one event; one that does not fit the phase changes nothing."""
    phase = joining.phase
    match event:
        case Failed():
            return joining._replace(problem=event.problem, is_stuck=event.is_final)
        case Registered() if phase is Phase.REGISTERING:
            return joining._replace(phase=Phase.CHECKING, problem="")
        case Checked() if phase in _AFTER_CHECKS:
            is_stopped = bool(stops(event.lines)) and not joining.is_forced
            after = Phase.REFUSED if is_stopped else Phase.ASKING
            checked = joining._replace(
                phase=after, lines=tuple(event.lines), checked_ms=event.at_ms, problem=""
            )
            return checked if is_stopped else _passed(checked)
        case Checked():
            return joining._replace(
                lines=tuple(event.lines), checked_ms=event.at_ms, problem="", is_stuck=False
            )
        case Forced():
            forced = joining._replace(is_forced=True)
            if phase is not Phase.REFUSED:
                return forced
            return _passed(forced)._replace(phase=Phase.ASKING)
        case SnapshotMade() if phase is Phase.ASKING:
            return joining._replace(
                phase=Phase.COPYING,
                snapshot=event.snapshot,
                bytes_done=0,
                bytes_total=0,
                snapshot_ms=event.made_ms,
                snapshot_at=event.at,
                problem="",
            )
        case Copied() if phase is Phase.COPYING:
            after = Phase.RESTORING if event.is_whole else phase
            if event.pace_light == Light.RED.value:
                # It would have stopped a join that is not forced.
                joining = _passed(joining, COPY_CHECK)
            return joining._replace(
                phase=after,
                bytes_done=event.bytes_done,
                bytes_total=event.bytes_total,
                bytes_per_s=event.bytes_per_s,
                eta_s=event.eta_s,
                pace=event.pace,
                pace_light=event.pace_light,
                given_up=0 if event.is_whole else joining.given_up,
                problem="",
            )
        case SnapshotLost() if phase is Phase.COPYING and event.is_kept:
            given_up = joining.given_up + 1
            return joining._replace(phase=Phase.ASKING, given_up=given_up, problem=event.problem)
        case SnapshotLost() if phase is Phase.COPYING:
            return joining._replace(
                phase=Phase.ASKING, snapshot="", snapshot_at="", problem=event.problem
            )
        case Restored() if phase is Phase.RESTORING:
            return joining._replace(phase=Phase.FOLLOWING, problem="")
        case CaughtUp() if phase is Phase.FOLLOWING:
            return joining._replace(phase=Phase.PROVING, problem="")
        case Proven() if phase in (Phase.PROVING, Phase.STANDBY):
            return joining._replace(
                phase=Phase.STANDBY,
                problem="",
                again="",
                proven_until_ms=max(event.until_ms, joining.proven_until_ms),
            )
        case TooOld() if phase in _WITH_A_STORE:
            # The store stays in use until the copy that takes its place is whole.
            return joining._replace(phase=Phase.CHECKING, again=event.why, problem="")
        case Released() if phase is Phase.STANDBY:
            return joining._replace(snapshot="", snapshot_at="")
        case _:
            return joining


def _passed(joining: Joining, *more: str) -> Joining:
    """Note the red lines of the last checks, and more of them, that stopped nothing."""
    names = tuple(dict.fromkeys((*(line.check for line in stops(joining.lines)), *more)))
    return joining._replace(forced=names, forced_ms=joining.checked_ms) if names else joining


def owed(joining: Joining) -> Work:
    """Return what is to be done now."""
    match joining.phase:
        case Phase.REGISTERING:
            return Work.REGISTER
        case Phase.CHECKING:
            return Work.CHECK
        case Phase.REFUSED:
            return Work.NOTHING
        case Phase.ASKING:
            return Work.ASK_SNAPSHOT
        case Phase.COPYING:
            return Work.COPY
        case Phase.RESTORING:
            return Work.RESTORE
        case Phase.FOLLOWING:
            return Work.FOLLOW
        case Phase.PROVING:
            return Work.PROVE
        case Phase.STANDBY:
            return Work.WATCH
        case _:
            assert_never(joining.phase)


def began_again(joining: Joining) -> Joining:
    """Return where a join goes on after its process was started again."""
    # What was red may be mended by now.
    phase = Phase.CHECKING if joining.phase is Phase.REFUSED else joining.phase
    return joining._replace(
        phase=phase, problem="", is_stuck=False, bytes_per_s=0.0, eta_s=None, pace="",
        pace_light=Light.GREEN.value, given_up=0 if joining.is_stuck else joining.given_up,
    )  # fmt: skip


def to_json(joining: Joining) -> dict[str, Any]:
    """Return it as a JSON object."""
    return {
        **joining._asdict(),
        "phase": joining.phase.name.lower(),
        "lines": lines_to_json(joining.lines),
    }


def lines_to_json(lines: Sequence[Line]) -> list[dict[str, str]]:
    """Return checks as JSON objects."""
    return [
        {"check": line.check, "light": line.light, "found": line.found, "remedy": line.remedy}
        for line in lines
    ]


def from_json(content: Any) -> Joining:  # Any: JSON
    """Read it back. Raises ValueError for what is no state of a join."""
    try:
        lines = tuple(
            Line(each["check"], Light(each["light"]), each["found"], each["remedy"])
            for each in content["lines"]
        )
        forced = tuple(map(str, content.get("forced", ())))
        known = {name: content[name] for name in Joining._fields if name in content}
        phase = Phase[str(content["phase"]).upper()]
        return Joining(**known | {"phase": phase, "lines": lines, "forced": forced})
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no state of a join: {error!r}") from error

"""Records on topic `ha.log`, as values and as JSON; pure.

The schema only grows: fields are added with a default, never changed or used for something else.
"""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

FOLD_VERSION: Final = 1
"""Of the rules in `fold`. A log whose `Config` names a later one is not read by this release."""

NAME_CHARACTERS: Final = 200


class RecordError(ValueError):
    """A record on `ha.log` that this release cannot read."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A registry lives and can write. Valid ones are the only clock of the fold."""

    registry: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """A central lives, and reads the log.

    node: its configured name. incarnation: `node/boot id`, another one after each start.
    epoch: the newest it knows. acknowledged_ticks: valid ticks it has folded, of all there were.
    number: counts the heartbeats of its sender. priority: lower is preferred.
    position: messages of `flows` in its store, and lag_records those that are not yet, for display.
    lag_s: seconds of `received_at` that its store is behind; None while unknown.
    is_fit: its store and its loops do their work, and it may be chosen. copies_only: it may not, as
    its settings say. has_acted: as the primary, it committed an
    effect since the heartbeat before. barrier: number of the promotion after whose `InitProducerId`
    it was sent, 0 for none. url: where its API answers.
    """

    node: str
    incarnation: str
    epoch: int
    acknowledged_ticks: int
    number: int = 0
    priority: int = 100
    position: int = 0
    lag_s: float | None = None
    is_fit: bool = True
    has_acted: bool = False
    barrier: int = 0
    url: str = ""
    lag_records: int | None = None
    copies_only: bool = False


@dataclass(frozen=True, slots=True)
class DeathNotice:
    """`seen_by` saw the process of `incarnation` end: it will never act again."""

    incarnation: str
    seen_by: str


@dataclass(frozen=True, slots=True)
class Departure:
    """`node` left the cluster for good: its processes ended, and it is listed no more."""

    node: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """`incarnation` shall be the primary, if the epoch still is `expected_epoch`.

    is_forced: a person wants it though the candidate lags or the cluster is paused.
    """

    incarnation: str
    expected_epoch: int
    reason: str
    by: str
    is_forced: bool = False


@dataclass(frozen=True, slots=True)
class Handover:
    """The holder `incarnation` has stopped acting, for `to`, an incarnation, to claim."""

    incarnation: str
    to: str


@dataclass(frozen=True, slots=True)
class SwitchoverRequest:
    """A person asks the primary to hand over to the node `to`; empty for the best candidate."""

    to: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What decisions depend on, so that all replicas decide alike; the last one holds.

    period_ms (P): between ticks. dead_ticks (K): unacknowledged valid ticks of a dead holder.
    hold_down_s: a living holder is not replaced so shortly after it took over.
    maximum_lag_s: of a candidate. is_paused: nobody is replaced but by a person.
    generation: of this log; a log made anew, whose offsets restart, has a higher one.
    """

    period_ms: int = 400
    dead_ticks: int = 7
    hold_down_s: float = 60.0
    maximum_lag_s: float = 30.0
    is_paused: bool = False
    generation: int = 1
    fold_version: int = FOLD_VERSION
    by: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state after the record at `offset`, as `fold.encode_state` gives it."""

    offset: int
    fold_version: int
    state: str


Record = (
    Tick | Heartbeat | DeathNotice | Departure | Claim | Handover | SwitchoverRequest | Config
    | Snapshot
)  # fmt: skip

_KINDS: Final[dict[str, type[Record]]] = {
    "tick": Tick,
    "heartbeat": Heartbeat,
    "death": DeathNotice,
    "departure": Departure,
    "claim": Claim,
    "handover": Handover,
    "request": SwitchoverRequest,
    "config": Config,
    "snapshot": Snapshot,
}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}


def encode_record(record: Record) -> bytes:
    """Return the value of the message that carries `record`."""
    content = {"is": _NAMES[type(record)]} | asdict(record)
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()


def decode_record(value: bytes | None) -> Record:
    """Read the value of a message; unknown fields are of a later release and left out.

    Raises RecordError.
    """
    try:
        content = json.loads(value or b"")
        kind = _KINDS[content.pop("is")]
        known = {field.name for field in fields(kind)}
        record = kind(**{name: one for name, one in content.items() if name in known})
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise RecordError(f"no record of ha.log: {error!r}"[:200]) from error
    if problem := _out_of_bounds(record):
        raise RecordError(problem)
    return record


def _out_of_bounds(record: Record) -> str:
    match record:
        case Config():
            return _config_problem(record)
        case Heartbeat():
            numbers = (
                record.acknowledged_ticks, record.number, record.priority, record.position,
                record.barrier,
            )  # fmt: skip
            if not all(_is_count(number) for number in numbers) or not _is_whole(record.epoch):
                return "a heartbeat without numbers"
            if record.lag_s is not None and not _is_number(record.lag_s):
                return f"lag_s {record.lag_s!r}"
            if not isinstance(record.copies_only, bool):
                return f"copies_only {str(record.copies_only)[:40]!r}"
            return _name_problem(record.node, record.incarnation)
        case Claim():
            if not _is_whole(record.expected_epoch):
                return f"expected_epoch {record.expected_epoch!r}"
            return _name_problem(record.incarnation, record.by, record.reason)
        case Snapshot():
            return "" if _is_count(record.offset) else "a snapshot of nothing"
        case Handover():
            return _name_problem(record.incarnation, record.to)
        case SwitchoverRequest():
            return _name_problem(record.to, record.by)
        case DeathNotice():
            return _name_problem(record.incarnation, record.seen_by)
        case Departure():
            return _name_problem(record.node, record.by)
        case Tick():
            return _name_problem(record.registry)


def _config_problem(config: Config) -> str:
    """Return what is wrong with a Config in a sentence that names the field, or nothing."""
    if not _is_count(config.period_ms) or not 50 <= config.period_ms <= 60_000:
        return f"period_ms {config.period_ms!r} is not between 50 and 60000"
    # Below 4 the lease of K - 2 ticks is too short to live on; above 10 a fast clock of the broker
    # eats the spare tick.
    if not _is_count(config.dead_ticks) or not 4 <= config.dead_ticks <= 10:
        return f"dead_ticks {config.dead_ticks!r} is not between 4 and 10"
    for name in ("hold_down_s", "maximum_lag_s"):
        value = getattr(config, name)
        if not _is_number(value) or not 0 <= value <= 86_400:
            return f"{name} {value!r} is not between 0 and 86400"
    if not _is_count(config.generation) or not _is_count(config.fold_version):
        return "generation and fold_version are counts"
    return ""


def _name_problem(*names: object) -> str:
    for name in names:
        if not isinstance(name, str) or not name.isprintable() or len(name) > NAME_CHARACTERS:
            return f"name {str(name)[:40]!r}"
    return ""


# Any: what JSON held.
def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -1 <= value < 1 << 63


def _is_count(value: Any) -> bool:
    return _is_whole(value) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e18

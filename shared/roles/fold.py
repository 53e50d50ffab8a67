"""The fold over `ha.log`: who holds the primary role; pure, and the same on every node.

Time is counted in valid ticks, so no node's clock matters, and a log that stands still is a time
that stands still: a Kafka outage takes nobody's role.
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import NamedTuple, assert_never

from shared.roles.records import (
    FOLD_VERSION,
    Claim,
    Config,
    DeathNotice,
    Departure,
    Handover,
    Heartbeat,
    Record,
    Snapshot,
    SwitchoverRequest,
    Tick,
)

CANDIDATE_TICKS = 2
"""A candidate has acknowledged all valid ticks but so many."""
START_TICKS = 2
"""On an empty log nobody is chosen sooner, so that priority decides and not who came first."""
HANDOVER_TICKS = 3
"""An unanswered handover ends after so many valid ticks."""
IDLE_PERIODS = 4
"""A living holder that committed nothing for so many times K valid ticks is replaced."""
REQUEST_PERIODS = 2
"""A request to switch over that the primary did not follow is forgotten after so many K ticks."""
FORGET_TICKS = 9_000
"""A node silent for so long, an hour at the default period, is listed no more."""
VALID_SHARE = 0.8
_DEAD_KEPT = 64
NO_EPOCH = -1


class FutureFold(Exception):
    """The log was written by rules of a later release: this one must not decide anything."""


class Standing(StrEnum):
    """How it stands with the holder of the role; the value is what people read."""

    UNCONFIGURED = "no configuration yet"
    VACANT = "no primary yet"
    ALIVE = "the primary lives"
    HANDED_OVER = "the primary hands over"
    EXPIRED = "a handover was not answered"
    IDLE = "the primary lives but does not act"
    DEAD = "the primary is dead"


class Member(NamedTuple):
    """A central as its heartbeats tell. acknowledged_ticks: the most it ever acknowledged.

    copies_only: it is not to be chosen, as its settings say; then it is not fit either.
    """

    node: str
    incarnation: str
    acknowledged_ticks: int
    priority: int
    position: int
    lag_s: float | None
    is_fit: bool
    url: str
    lag_records: int | None = None
    copies_only: bool = False


class OpenHandover(NamedTuple):
    """To which incarnation, and how many valid ticks there were."""

    to: str
    at_tick: int


class Request(NamedTuple):
    """To which node, empty for the best; asked by whom, and how many valid ticks there were."""

    to: str
    by: str
    at_tick: int


class RolesState(NamedTuple):
    """Who holds the role, and what decides about it.

    ticks: valid ones so far. last_tick_ms: append time of the last, by the log's clock.
    epoch: offset of the accepted claim, NO_EPOCH before the first. holder: incarnation.
    since_ms, since_tick: of that claim. acted_tick: when the holder last said that it acted.
    dead: incarnations that were seen to end, the newest last. snapshot_offset: of the last
    Snapshot record, -1 without one. offset: of the last record folded.
    """

    config: Config | None = None
    ticks: int = 0
    last_tick_ms: int | None = None
    epoch: int = NO_EPOCH
    holder: str = ""
    since_ms: int = 0
    since_tick: int = 0
    reason: str = ""
    acted_tick: int = 0
    members: Mapping[str, Member] = {}  # never changed in place
    dead: tuple[str, ...] = ()
    handover: OpenHandover | None = None
    request: Request | None = None
    snapshot_offset: int = -1
    offset: int = -1


START = RolesState()


class Folded(NamedTuple):
    """A record of the log, and the state before and after it. append_ms: by the log's clock."""

    record: Record
    before: RolesState
    state: RolesState
    offset: int
    append_ms: int


def evolve(state: RolesState, record: Record, *, offset: int, append_ms: int) -> RolesState:
    """Fold the record at `offset`, appended at `append_ms` by the log's clock, into `state`.

    What the rules refuse changes nothing but `offset`; `refusal` says why. Raises FutureFold.
    """
    if isinstance(record, Config):
        return _configured(state, record)._replace(offset=offset)
    if state.config is None:
        return state._replace(offset=offset)
    match record:
        case Tick():
            return _ticked(state, state.config, offset, append_ms)
        case Heartbeat():
            return _heard(state, record, offset)
        case DeathNotice():
            if record.incarnation in state.dead:
                return state._replace(offset=offset)
            dead = (*state.dead, record.incarnation)[-_DEAD_KEPT:]
            return state._replace(dead=dead, offset=offset)
        case Departure():
            return _departed(state, record)._replace(offset=offset)
        case Claim():
            if refusal(state, record):
                return state._replace(offset=offset)
            return state._replace(
                epoch=offset,
                holder=record.incarnation,
                since_ms=append_ms,
                since_tick=state.ticks,
                reason=record.reason,
                acted_tick=state.ticks,
                handover=None,
                request=None,
                offset=offset,
            )
        case Handover():
            if refusal(state, record):
                return state._replace(offset=offset)
            return state._replace(handover=OpenHandover(record.to, state.ticks), offset=offset)
        case SwitchoverRequest():
            if refusal(state, record):
                return state._replace(offset=offset)
            return state._replace(request=Request(record.to, record.by, state.ticks), offset=offset)
        case Snapshot():
            return state._replace(snapshot_offset=offset, offset=offset)
        case _:
            assert_never(record)


def _configured(state: RolesState, config: Config) -> RolesState:
    if config.fold_version > FOLD_VERSION:
        raise FutureFold(
            f"ha.log is of fold version {config.fold_version}, this release knows {FOLD_VERSION}"
        )
    before = state.config
    if before is None:
        return state._replace(config=config)
    # The generation is the log's own: a log has one.
    state = state._replace(config=replace(config, generation=before.generation))
    holder = state.members.get(state.holder)
    if (config.period_ms, config.dead_ticks) == (before.period_ms, before.dead_ticks) or not holder:
        return state
    # The holder's lease is still one of the times before: it is not dead while that may last.
    credit = -(-before.period_ms * before.dead_ticks // config.period_ms)
    holder = holder._replace(acknowledged_ticks=state.ticks + credit)
    return state._replace(members={**state.members, state.holder: holder})


def _departed(state: RolesState, departure: Departure) -> RolesState:
    """Forget all processes of a node; heartbeats still on their way are of dead ones."""
    if refusal(state, departure):
        return state
    gone = [name for name, member in state.members.items() if member.node == departure.node]
    dead = (*state.dead, *(name for name in gone if name not in state.dead))[-_DEAD_KEPT:]
    kept = {name: member for name, member in state.members.items() if name not in gone}
    return state._replace(members=kept, dead=dead)


def _ticked(state: RolesState, config: Config, offset: int, append_ms: int) -> RolesState:
    last_ms = state.last_tick_ms
    # A burst after a frozen broker counts once; either way, for a clock that was set back.
    if last_ms is not None and abs(append_ms - last_ms) < VALID_SHARE * config.period_ms:
        return state._replace(offset=offset)
    request = state.request
    if request and state.ticks + 1 - request.at_tick > REQUEST_PERIODS * config.dead_ticks:
        request = None
    return state._replace(
        ticks=state.ticks + 1, last_tick_ms=append_ms, request=request, offset=offset
    )


def _heard(state: RolesState, heartbeat: Heartbeat, offset: int) -> RolesState:
    incarnation = heartbeat.incarnation
    if heartbeat.acknowledged_ticks > state.ticks or incarnation in state.dead:
        return state._replace(offset=offset)
    before = state.members.get(incarnation)
    acknowledged = heartbeat.acknowledged_ticks
    members = dict(state.members)
    if before is None:
        members = {
            name: member
            for name, member in members.items()
            if name == state.holder
            or (state.ticks - member.acknowledged_ticks < FORGET_TICKS and name not in state.dead)
        }
    else:
        acknowledged = max(acknowledged, before.acknowledged_ticks)
    members[incarnation] = Member(
        heartbeat.node,
        incarnation,
        acknowledged,
        heartbeat.priority,
        heartbeat.position,
        heartbeat.lag_s,
        heartbeat.is_fit,
        heartbeat.url,
        heartbeat.lag_records,
        heartbeat.copies_only,
    )
    acts = heartbeat.has_acted and incarnation == state.holder and heartbeat.epoch == state.epoch
    acted_tick = state.ticks if acts else state.acted_tick
    return state._replace(members=members, acted_tick=acted_tick, offset=offset)


def unacknowledged(state: RolesState, incarnation: str) -> int:
    """Return how many valid ticks an incarnation has not acknowledged; all when it is unknown."""
    member = state.members.get(incarnation)
    return state.ticks if member is None else max(0, state.ticks - member.acknowledged_ticks)


def standing(state: RolesState) -> Standing:
    """Return how it stands with the holder."""
    config = state.config
    if config is None:
        return Standing.UNCONFIGURED
    if state.epoch == NO_EPOCH:
        return Standing.VACANT
    if state.holder in state.dead or unacknowledged(state, state.holder) >= config.dead_ticks:
        return Standing.DEAD
    if state.handover is not None:
        is_open = state.ticks - state.handover.at_tick < HANDOVER_TICKS
        return Standing.HANDED_OVER if is_open else Standing.EXPIRED
    if _is_idle(state, config):
        return Standing.IDLE
    return Standing.ALIVE


def _is_idle(state: RolesState, config: Config) -> bool:
    """Whether a living holder does nothing, long enough, and somebody else could."""
    if state.ticks - state.acted_tick < IDLE_PERIODS * config.dead_ticks:
        return False
    held_ms = (state.ticks - state.since_tick) * config.period_ms
    if held_ms < config.hold_down_s * 1000:
        return False
    return any(
        member.is_fit and is_candidate(state, name)
        for name, member in state.members.items()
        if name != state.holder
    )


def is_candidate(state: RolesState, incarnation: str) -> bool:
    """Whether an incarnation lives and reads the log; its lag is for policy to judge."""
    return (
        incarnation in state.members
        and incarnation not in state.dead
        and unacknowledged(state, incarnation) <= CANDIDATE_TICKS
    )


def refusal(state: RolesState, record: Claim | Handover | SwitchoverRequest | Departure) -> str:
    """Return why a decision has no effect at this place of the log; empty when it has."""
    match record:
        case Claim():
            return _claim_refusal(state, record)
        case Handover():
            return _handover_refusal(state, record)
        case SwitchoverRequest():
            return _request_refusal(state, record)
        case Departure():
            return _departure_refusal(state, record)
        case _:
            assert_never(record)


def _claim_refusal(state: RolesState, claim: Claim) -> str:
    if claim.expected_epoch != state.epoch:
        return f"the epoch is {state.epoch} by now, not {claim.expected_epoch}"
    now = standing(state)
    paused = state.config is not None and state.config.is_paused and not claim.is_forced
    match now:
        case Standing.UNCONFIGURED | Standing.ALIVE:
            return now.value
        case Standing.VACANT:
            if state.ticks < START_TICKS:
                return f"{state.ticks} of {START_TICKS} first ticks"
        case Standing.HANDED_OVER:
            assert state.handover is not None
            if claim.incarnation != state.handover.to:
                return f"handed over to {state.handover.to}"
        case Standing.EXPIRED:
            if claim.incarnation != state.holder:
                return f"only {state.holder} may take an unanswered handover back"
        case Standing.IDLE | Standing.DEAD:
            if paused:
                return "the cluster is paused"
            if claim.incarnation == state.holder:
                return f"{claim.incarnation} is the one to be replaced"
        case _:
            assert_never(now)
    if not is_candidate(state, claim.incarnation):
        return f"{claim.incarnation} is not there, or does not read the log"
    return ""


def _handover_refusal(state: RolesState, handover: Handover) -> str:
    if standing(state) not in (Standing.ALIVE, Standing.IDLE):
        return standing(state).value
    if handover.incarnation != state.holder:
        return f"{handover.incarnation} is not the primary"
    if handover.to == state.holder or not is_candidate(state, handover.to):
        return f"{handover.to} is not there, or does not read the log"
    return ""


def _request_refusal(state: RolesState, request: SwitchoverRequest) -> str:
    if standing(state) not in (Standing.ALIVE, Standing.IDLE):
        return standing(state).value
    if request.to and request.to not in {member.node for member in state.members.values()}:
        return f"no node {request.to}"
    return ""


def _departure_refusal(state: RolesState, departure: Departure) -> str:
    holder = state.members.get(state.holder)
    if holder is not None and holder.node == departure.node:
        return f"{departure.node} is the primary: switch over first"
    if departure.node not in {member.node for member in state.members.values()}:
        return f"there is no node {departure.node}"
    return ""

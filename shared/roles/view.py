"""The cluster as it is shown to people and programs, with what is wrong with it; pure."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from shared.roles.cluster import ClusterRoles
from shared.roles.fold import (
    NO_EPOCH,
    Member,
    RolesState,
    Standing,
    is_candidate,
    standing,
    unacknowledged,
)
from shared.roles.policy import best_candidate, candidate_problem

HELD = (Standing.ALIVE, Standing.IDLE, Standing.HANDED_OVER, Standing.EXPIRED)
"""Standings in which somebody holds the role."""
_NAMED_MAX = 4


class NodeRole(StrEnum):
    """What a node is, as it is shown; the order is the one of a node's several processes."""

    PRIMARY = "primary"
    STANDBY = "standby"
    DEAD = "dead"


class AlarmKind(StrEnum):
    """What can be wrong with the cluster as a whole."""

    NO_PRIMARY = "no_primary"
    NO_CANDIDATE = "no_candidate"
    ROLES_AHEAD = "roles_ahead"
    ROLES_BEHIND = "roles_behind"
    LOG_REMADE = "log_remade"
    DOUBLED_NAME = "doubled_name"


class Alarm(NamedTuple):
    """One thing that is wrong, in a sentence."""

    kind: AlarmKind
    text: str


def cluster_alarms(state: RolesState, roles: ClusterRoles | None) -> list[Alarm]:
    """Return what is wrong. roles: what `ha.roles` says, None while it says nothing."""
    return [*_role_alarms(state), *_topic_alarms(state, roles), *_name_alarms(state)]


def _role_alarms(state: RolesState) -> Iterator[Alarm]:
    now = standing(state)
    if now not in HELD:
        yield Alarm(AlarmKind.NO_PRIMARY, f"nobody is primary: {now.value}")
    if state.epoch != NO_EPOCH and best_candidate(state) is None:
        why = _no_candidate(state)
        yield Alarm(AlarmKind.NO_CANDIDATE, f"nobody could take over: {why}")


def _no_candidate(state: RolesState) -> str:
    others = sorted(
        (member for member in shown_members(state) if member.incarnation != state.holder),
        key=lambda member: unacknowledged(state, member.incarnation),
    )
    said = [candidate_problem(state, member) for member in others[:_NAMED_MAX]]
    if len(others) > _NAMED_MAX:
        said.append(f"nor {len(others) - _NAMED_MAX} others")
    return "; ".join(said) or "there is no other node"


def _name_alarms(state: RolesState) -> Iterator[Alarm]:
    """Two processes of one name are told apart everywhere, but people cannot mean one of them."""
    living = sorted(name for name in state.members if is_candidate(state, name))
    nodes = Counter(state.members[name].node for name in living)
    doubled = [name for name in living if nodes[state.members[name].node] > 1]
    if doubled:
        yield Alarm(
            AlarmKind.DOUBLED_NAME,
            f"several living processes have one name: {', '.join(doubled)}; "
            "give each central a name of its own",
        )


def _topic_alarms(state: RolesState, roles: ClusterRoles | None) -> Iterator[Alarm]:
    config = state.config
    if config is None:
        return
    if roles is not None and roles.generation != config.generation:
        yield Alarm(
            AlarmKind.LOG_REMADE,
            f"ha.log is of generation {config.generation}, ha.roles of {roles.generation}: "
            "ha.log was made again",
        )
        return
    epoch = NO_EPOCH if roles is None else roles.epoch
    if epoch > state.epoch:
        yield Alarm(
            AlarmKind.ROLES_AHEAD,
            f"ha.roles names epoch {epoch}, which ha.log does not have: it is at {state.epoch}",
        )
    is_late = state.ticks - state.since_tick > config.dead_ticks
    if epoch < state.epoch and is_late and standing(state) is Standing.ALIVE:
        said = "no epoch" if epoch == NO_EPOCH else f"epoch {epoch}"
        yield Alarm(
            AlarmKind.ROLES_BEHIND,
            f"ha.roles still names {said}: the primary of epoch {state.epoch} lives, but did not "
            "begin to act",
        )


def cluster_view(
    state: RolesState, roles: ClusterRoles | None, alarms: Iterable[str]
) -> dict[str, Any]:  # Any: JSON
    """Return the answer of `/api/v1/cluster`. roles: what `ha.roles` says."""
    now, config, primary = standing(state), state.config, primary_node(state)
    return {
        "generation": 0 if config is None else config.generation,
        "epoch": state.epoch,
        "standing": now.value,
        "primary": primary or None,
        "since": None if state.epoch == NO_EPOCH else iso(state.since_ms),
        "paused": config is not None and config.is_paused,
        "config": None
        if config is None
        else {
            "period_ms": config.period_ms,
            "dead_ticks": config.dead_ticks,
            "hold_down_s": config.hold_down_s,
            "maximum_lag_s": config.maximum_lag_s,
        },
        "nodes": [_node(state, member) for member in shown_members(state)],
        "last_takeover": None
        if roles is None or roles.took_s is None
        else {
            "epoch": roles.epoch,
            "reason": roles.reason,
            "seconds": roles.took_s,
            "at": iso(roles.since_ms),
        },
        "alarms": list(alarms),
    }


def primary_node(state: RolesState) -> str:
    """Return the name of the node that holds the role; empty while nobody living does."""
    return holder_node(state) if standing(state) in HELD else ""


def holder_node(state: RolesState) -> str:
    """Return the name of the holder's node, dead or alive; empty before the first one."""
    member = state.members.get(state.holder)
    return state.holder.rpartition("/")[0] if member is None else member.node


def shown_members(state: RolesState) -> list[Member]:
    """Return one member of each node, by its name: of several processes the one that lives."""
    found: dict[str, Member] = {}
    for member in state.members.values():
        before = found.get(member.node)
        if before is None or _rank(state, member) < _rank(state, before):
            found[member.node] = member
    return [found[name] for name in sorted(found)]


def node_role(state: RolesState, member: Member) -> NodeRole:
    """Return what a member is."""
    silent = unacknowledged(state, member.incarnation)
    if member.incarnation in state.dead or (
        state.config is not None and silent >= state.config.dead_ticks
    ):
        return NodeRole.DEAD
    return NodeRole.PRIMARY if member.incarnation == state.holder else NodeRole.STANDBY


def standbys(state: RolesState, *, maximum_lag_s: float | None = None) -> list[Member]:
    """Return who could take over, the best one first. maximum_lag_s: None for the policy's."""
    found = [
        member
        for member in shown_members(state)
        if not candidate_problem(state, member)
        and (maximum_lag_s is None or (member.lag_s or 0.0) <= maximum_lag_s)
    ]
    return sorted(found, key=lambda member: (member.priority, member.lag_s or 0.0))


def standby_problem(state: RolesState, *, maximum_lag_s: float | None = None) -> str:
    """Return why `standbys` is empty."""
    best = standbys(state)
    if best and maximum_lag_s is not None:
        least_s = min(member.lag_s or 0.0 for member in best)
        return f"the best standby is {least_s:.1f} s behind, more than {maximum_lag_s:g} s"
    return _no_candidate(state)


def iso(ms: int) -> str:
    """Return ms since 1970 UTC as text."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def _node(state: RolesState, member: Member) -> dict[str, Any]:
    role = node_role(state, member)
    return {
        "name": member.node,
        "role": role.value,
        "url": member.url,
        "incarnation": member.incarnation,
        "is_fit": member.is_fit,
        "candidate": not member.copies_only,
        "priority": member.priority,
        "lag_records": member.lag_records,
        "lag_s": member.lag_s,
        "unacknowledged_ticks": unacknowledged(state, member.incarnation),
        "problem": "" if role is NodeRole.PRIMARY else _problem(state, member),
    }


def _problem(state: RolesState, member: Member) -> str:
    if member.incarnation == state.holder:
        return f"{member.node} is dead"
    return candidate_problem(state, member)


def _rank(state: RolesState, member: Member) -> tuple[int, int]:
    role = node_role(state, member)
    return list(NodeRole).index(role), unacknowledged(state, member.incarnation)

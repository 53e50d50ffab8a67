"""What a registry proposes, and to whom a primary hands over; pure."""

from shared.roles.fold import (
    HANDOVER_TICKS,
    START_TICKS,
    Member,
    RolesState,
    Standing,
    is_candidate,
    refusal,
    standing,
    unacknowledged,
)
from shared.roles.records import Claim, Departure


def propose(state: RolesState, *, by: str) -> Claim | None:
    """Return the claim that policy wants now; None while nobody has to be replaced.

    Several registries may propose the same: the first one in the log is accepted, the others name
    an epoch that is over.
    """
    now = standing(state)
    if now not in (Standing.VACANT, Standing.DEAD, Standing.IDLE):
        return None
    candidate = best_candidate(state)
    if candidate is None:
        return None
    reasons = {
        Standing.VACANT: "start",
        Standing.DEAD: "seen dead" if state.holder in state.dead else "silent",
        Standing.IDLE: "did not act",
    }
    claim = Claim(
        incarnation=candidate.incarnation,
        expected_epoch=state.epoch,
        reason=reasons[now],
        by=by,
    )
    return None if refusal(state, claim) else claim


def best_candidate(state: RolesState, *, node: str = "") -> Member | None:
    """Return who should be primary next, by priority, then by lag; None without a good one.

    node: nobody but this one; empty for all.
    """
    found = [
        member
        for member in state.members.values()
        if member.node == node or not node
        if not candidate_problem(state, member)
    ]
    return min(
        found, key=lambda member: (member.priority, member.lag_s, member.incarnation), default=None
    )


def candidate_problem(state: RolesState, member: Member) -> str:
    """Return why a member is no good candidate, in words; empty when it is one."""
    if member.incarnation == state.holder:
        return f"{member.node} is the primary"
    if member.incarnation in state.dead:
        return f"{member.node} was seen to end"
    if not is_candidate(state, member.incarnation):
        ticks = unacknowledged(state, member.incarnation)
        return f"{member.node} has not answered the last {ticks} ticks"
    return shortcoming(state, member, called=member.node)


def able(state: RolesState) -> set[str]:
    """Return the nodes of the living holder and of all that could take over now."""
    if state.config is None:
        return set()
    return {
        member.node
        for member in state.members.values()
        if (member.incarnation == state.holder and member.incarnation not in state.dead)
        or not candidate_problem(state, member)
    }


def shortcoming(state: RolesState, member: Member, *, called: str) -> str:
    """Return what speaks against a living member but not against a person who names it.

    called: how the sentence begins; it is empty when nothing does.
    """
    if member.copies_only:
        return f"{called} only keeps a copy: its setting candidate is off"
    if not member.is_fit:
        return f"{called} cannot do its work, or is not proven equal yet"
    assert state.config is not None
    if member.lag_s is None:
        return f"{called} has not said yet how far it is behind"
    if member.lag_s > state.config.maximum_lag_s:
        return (
            f"{called} is {member.lag_s:.1f} s behind, more than the "
            f"{state.config.maximum_lag_s:g} s of maximum_lag_s"
        )
    return ""


def switchover_problem(state: RolesState, node: str) -> str:
    """Return why a switchover to `node` cannot be asked for, in words; empty when it can.

    node: empty for the best candidate.
    """
    now = standing(state)
    if now not in (Standing.ALIVE, Standing.IDLE):
        return now.value
    members = [member for member in state.members.values() if member.node == node or not node]
    if node and not members:
        return f"there is no node {node}"
    if best_candidate(state, node=node) is not None:
        return ""
    problems = [
        candidate_problem(state, member)
        for member in members
        if node or member.incarnation != state.holder
    ]
    return "; ".join(dict.fromkeys(problems)) or "there is no other node"


def departure_problem(state: RolesState, node: str, *, has_stopped: bool) -> str:
    """Return why `node` cannot be forgotten, in words; empty when it can.

    has_stopped: its own machine says that its processes have ended; who still is heard would come
    back with its next heartbeat.
    """
    if why := refusal(state, Departure(node, "")):
        return why
    members = [member for member in state.members.values() if member.node == node]
    if not has_stopped and any(is_candidate(state, each.incarnation) for each in members):
        return f"{node} lives: run `steadflow standby leave` on its machine"
    return ""


def handover_target(state: RolesState, *, is_needed: bool = False) -> Member | None:
    """Return to whom the holder hands over now, None when nobody asked or nobody is ready.

    is_needed: the holder cannot do its work, and wants to without being asked; a paused cluster
    waits for a person. A target that did not acknowledge the newest tick may be gone: then nobody
    would act until the handover ends.
    """
    is_paused = state.config is not None and state.config.is_paused
    if state.request is None and (is_paused or not is_needed):
        return None
    if standing(state) not in (Standing.ALIVE, Standing.IDLE):
        return None
    target = best_candidate(state, node="" if state.request is None else state.request.to)
    if target is None or unacknowledged(state, target.incarnation) > 0:
        return None
    return target


def takeover_ticks(state: RolesState) -> int | None:
    """Return after how many more valid ticks somebody may be claimed; None while the role is held.

    For display: 0 means now.
    """
    match standing(state):
        case Standing.VACANT:
            return max(0, START_TICKS - state.ticks)
        case Standing.HANDED_OVER:
            assert state.handover is not None
            return HANDOVER_TICKS - (state.ticks - state.handover.at_tick)
        case Standing.DEAD | Standing.IDLE | Standing.EXPIRED:
            return 0
        case _:
            return None

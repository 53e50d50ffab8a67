"""What a person asks for when nobody acts as primary; pure."""

from shared.roles.fold import RolesState, Standing, is_candidate, refusal, standing
from shared.roles.policy import shortcoming
from shared.roles.records import Claim


class Refused(Exception):
    """What was asked for cannot be done as things stand; the text is one sentence."""


def failover_claim(state: RolesState, *, to: str, by: str) -> Claim:
    """Return the forced claim for the node `to`, empty for the best; its lag does not matter.

    Raises Refused.
    """
    now = standing(state)
    if now in (Standing.ALIVE, Standing.HANDED_OVER):
        raise Refused(f"{now.value}: use switchover")
    named = [member for member in state.members.values() if member.node == to or not to]
    if to and not named:
        raise Refused(f"there is no node {to}")
    if not to and now is Standing.IDLE:
        named = [member for member in named if member.incarnation != state.holder]
    if not to:
        # One that only keeps a copy is taken when a person names it, for want of anybody else.
        named = [member for member in named if not member.copies_only]
    found = [member for member in named if is_candidate(state, member.incarnation)]
    if not found:
        raise Refused(f"{to or 'every node'} is dead, or does not read the log")
    if not to and not any(member.is_fit for member in found):
        # A person may want it all the same, and has to say so.
        names = " and ".join(sorted({member.node for member in found}))
        raise Refused(
            f"of those that live nobody is ready, or proven equal yet: name one to take it all the "
            f"same ({names})"
        )
    best = min(
        found,
        key=lambda member: (
            not member.is_fit,
            member.priority,
            float("inf") if member.lag_s is None else member.lag_s,
            member.incarnation,
        ),
    )
    claim = Claim(
        incarnation=best.incarnation,
        expected_epoch=state.epoch,
        reason="failover by hand",
        by=by,
        is_forced=True,
    )
    if why := refusal(state, claim):
        raise Refused(why)
    return claim


def failover_warning(state: RolesState, claim: Claim) -> str:
    """Return in one sentence what spoke against whom `claim` takes; empty when nothing did."""
    member = state.members[claim.incarnation]
    why = shortcoming(state, member, called="it")
    return f"{member.node} was taken although {why}" if why else ""

"""What one central may and must do, from what it reads of `ha.log`; pure.

`evolve` folds events, `owed` names the one step that the state asks for, `may_act` is asked before
every effect. Whoever drives this takes each step once per promotion, phase and epoch, says how it
went, and takes it again when its record did not reach the log.

Why the order of steps is safe without any clock: let X act in epoch e1. Its barrier was sent after
its `InitProducerId` and read back with no newer claim before it, so that came before the claim of
any later epoch e2, and that before the `InitProducerId` of e2, which fences X for good. The lease
only keeps X from trying.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple, assert_never

from shared.roles import policy
from shared.roles.fold import NO_EPOCH, START, VALID_SHARE, RolesState, Standing, standing
from shared.roles.records import Claim, Handover, Heartbeat, Record

_SENT_KEPT = 32


class Phase(StrEnum):
    """How far a central is with acting; the value is what people read."""

    STANDBY = "standby"
    CONFIRMING = "sees whether it still is the primary"
    INITIALISING = "fences the primary before"
    BARRIER = "waits for its barrier in the log"
    CATCHING_UP = "catches up with the log"
    READING_OUTBOX = "reads what the primary before still sent"
    ANNOUNCING = "writes who is primary"
    ACTING = "acts"
    LETTING_GO = "finishes what it began, to hand over"
    HANDED_OVER = "handed over"


class Step(StrEnum):
    """What whoever drives a central does next; `NOTHING` waits for the log."""

    NOTHING = "nothing"
    INITIALISE = "take the transactional id"
    SEND_BARRIER = "send a heartbeat at once"
    CATCH_UP = "read to the log ends as they are now"
    READ_OUTBOX = "read the outbox to its end"
    ANNOUNCE = "commit epoch and roles"
    ACT = "commit what is owed"
    FLUSH = "finish the open transaction"
    HAND_OVER = "append the handover"
    CLAIM = "append a claim"
    BE_REBORN = "take a new incarnation"


class Acting(NamedTuple):
    """One central. promotion: counts its tries to become able to act; a barrier's number.

    epoch: that it tries to act in, or does. lease_until_s: by the clock of `sent_at_s`, which
    never stops (`CLOCK_BOOTTIME`). sent: when its last heartbeats were sent, by number.
    handing_to: the incarnation it hands over to.
    """

    incarnation: str
    roles: RolesState = START
    phase: Phase = Phase.STANDBY
    epoch: int = NO_EPOCH
    promotion: int = 0
    lease_until_s: float = float("-inf")
    sent: Mapping[int, float] = {}
    handing_to: str = ""
    is_fit: bool = True


class Read(NamedTuple):
    """The log has `record`; `roles` is the fold up to and with it."""

    record: Record
    roles: RolesState


class HeartbeatSent(NamedTuple):
    """The heartbeat `number` was handed over for sending at `sent_at_s`."""

    number: int
    sent_at_s: float


class StepDone(NamedTuple):
    """A step of `promotion` ended well."""

    step: Step
    promotion: int


class ActingFailed(NamedTuple):
    """A step of `promotion`, or an effect, failed: its producer is worth nothing any more."""

    promotion: int


class FitnessChanged(NamedTuple):
    """Whether this central's store and loops do their work."""

    is_fit: bool


Event = Read | HeartbeatSent | StepDone | ActingFailed | FitnessChanged

_NEXT = {
    (Phase.INITIALISING, Step.INITIALISE): Phase.BARRIER,
    (Phase.CATCHING_UP, Step.CATCH_UP): Phase.READING_OUTBOX,
    (Phase.READING_OUTBOX, Step.READ_OUTBOX): Phase.ANNOUNCING,
    (Phase.ANNOUNCING, Step.ANNOUNCE): Phase.ACTING,
    (Phase.LETTING_GO, Step.FLUSH): Phase.HANDED_OVER,
}


def evolve(acting: Acting, event: Event) -> Acting:
    """Fold one event; each record of the log comes once and in order."""
    match event:
        case Read():
            return _read(acting, event)
        case HeartbeatSent():
            sent = {**acting.sent, event.number: event.sent_at_s}
            if len(sent) > _SENT_KEPT:
                del sent[min(sent)]
            return acting._replace(sent=sent)
        case StepDone():
            if event.promotion != acting.promotion:
                return acting
            following = _NEXT.get((acting.phase, event.step))
            return acting if following is None else acting._replace(phase=following)
        case ActingFailed():
            if event.promotion != acting.promotion or acting.phase is Phase.STANDBY:
                return acting
            # Whether it still is the primary is seen first: the failure may be the fence.
            return _promoted(acting, Phase.CONFIRMING)
        case FitnessChanged():
            return _consider_handover(acting._replace(is_fit=event.is_fit))
        case _:
            assert_never(event)


def _promoted(acting: Acting, phase: Phase) -> Acting:
    return acting._replace(
        phase=phase,
        epoch=acting.roles.epoch,
        promotion=acting.promotion + 1,
        lease_until_s=float("-inf"),
        handing_to="",
    )


def _read(acting: Acting, event: Read) -> Acting:
    roles, record = event.roles, event.record
    is_new_epoch = roles.epoch != acting.roles.epoch
    acting = acting._replace(roles=roles)
    if is_new_epoch and roles.holder == acting.incarnation:
        return _promoted(acting, Phase.INITIALISING)
    if acting.phase is Phase.STANDBY:
        return acting
    if is_new_epoch or acting.incarnation in roles.dead:
        return _demoted(acting)
    is_own = isinstance(record, Heartbeat | Handover) and record.incarnation == acting.incarnation
    if is_own and isinstance(record, Heartbeat):
        acting = _read_back(acting, record)
    if roles.handover is not None:
        # Also one that was thought not to have reached the log.
        return acting._replace(phase=Phase.HANDED_OVER)
    if is_own and isinstance(record, Handover) and acting.phase is Phase.HANDED_OVER:
        # Refused where it stands in the log: the role was never given away.
        return _promoted(acting, Phase.CONFIRMING)
    return _consider_handover(acting)


def _demoted(acting: Acting) -> Acting:
    return acting._replace(
        phase=Phase.STANDBY, epoch=NO_EPOCH, lease_until_s=float("-inf"), handing_to=""
    )


def _read_back(acting: Acting, heartbeat: Heartbeat) -> Acting:
    """Take the lease, and the barrier, from an own heartbeat that the log has."""
    sent_at_s = acting.sent.get(heartbeat.number)
    config = acting.roles.config
    if sent_at_s is None or config is None:
        return acting
    if heartbeat.barrier != barrier_number(acting) or acting.phase is Phase.INITIALISING:
        return acting
    if acting.phase is Phase.CONFIRMING:
        return acting._replace(phase=Phase.INITIALISING)
    unread_ticks = acting.roles.ticks - heartbeat.acknowledged_ticks
    lease_s = lease_of(config.period_ms, config.dead_ticks, unread_ticks)
    acting = acting._replace(lease_until_s=max(acting.lease_until_s, sent_at_s + lease_s))
    if acting.phase is Phase.BARRIER:
        return acting._replace(phase=Phase.CATCHING_UP)
    return acting


def barrier_number(acting: Acting) -> int:
    """Return what a heartbeat sent now carries as `barrier`.

    Twice the promotion while it confirms or initialises, one more once `InitProducerId` returned,
    0 for a standby.
    """
    match acting.phase:
        case Phase.STANDBY:
            return 0
        case Phase.CONFIRMING | Phase.INITIALISING:
            return 2 * acting.promotion
        case _:
            return 2 * acting.promotion + 1


def lease_of(period_ms: int, dead_ticks: int, unread_ticks: int) -> float:
    """Return the lease in seconds, from sending, of a heartbeat whose place has `unread_ticks`.

    Death comes no sooner than (K - 1) valid ticks after the heartbeat, each at least 0.8 P after
    the one before; one more is for a step of the broker's clock.
    """
    return max(0.0, (dead_ticks - 2 - unread_ticks) * VALID_SHARE * period_ms / 1000)


def _consider_handover(acting: Acting) -> Acting:
    if acting.phase is not Phase.ACTING:
        return acting
    target = policy.handover_target(acting.roles, is_needed=not acting.is_fit)
    if target is None:
        return acting
    return acting._replace(phase=Phase.LETTING_GO, handing_to=target.incarnation)


def owed(acting: Acting) -> Step:
    """Return the step to take now; each once per promotion, phase and epoch."""
    if acting.incarnation in acting.roles.dead:
        return Step.BE_REBORN
    match acting.phase:
        case Phase.STANDBY:
            return Step.CLAIM if _is_handed(acting) else Step.NOTHING
        case Phase.CONFIRMING | Phase.BARRIER:
            return Step.SEND_BARRIER
        case Phase.INITIALISING:
            return Step.INITIALISE
        case Phase.CATCHING_UP:
            return Step.CATCH_UP
        case Phase.READING_OUTBOX:
            return Step.READ_OUTBOX
        case Phase.ANNOUNCING:
            return Step.ANNOUNCE
        case Phase.ACTING:
            return Step.ACT
        case Phase.LETTING_GO:
            return Step.FLUSH
        case Phase.HANDED_OVER:
            if acting.roles.handover is None:
                return Step.HAND_OVER
            return Step.CLAIM if standing(acting.roles) is Standing.EXPIRED else Step.NOTHING
        case _:
            assert_never(acting.phase)


def _is_handed(acting: Acting) -> bool:
    handover = acting.roles.handover
    return (
        handover is not None
        and handover.to == acting.incarnation
        and standing(acting.roles) is Standing.HANDED_OVER
    )


def claim_of(acting: Acting) -> Claim:
    """Return the claim of `Step.CLAIM`: to answer a handover, or to take back one's own."""
    is_own = acting.phase is Phase.HANDED_OVER
    return Claim(
        incarnation=acting.incarnation,
        expected_epoch=acting.roles.epoch,
        reason="handover was not answered" if is_own else "switchover",
        by=acting.incarnation,
    )


def handover_of(acting: Acting) -> Handover:
    """Return the record of `Step.HAND_OVER`."""
    return Handover(acting.incarnation, acting.handing_to)


def may_act(acting: Acting, now_s: float) -> bool:
    """Whether an effect may be tried now; asked before each, by the clock of `sent_at_s`."""
    if now_s >= acting.lease_until_s:
        return False
    return acting.phase in (Phase.ANNOUNCING, Phase.ACTING, Phase.LETTING_GO)

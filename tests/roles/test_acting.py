"""One central on its way to acting, and away from it."""

from dataclasses import dataclass, field

import pytest

from shared.roles.acting import (
    Acting,
    ActingFailed,
    FitnessChanged,
    HeartbeatSent,
    Phase,
    Read,
    Step,
    StepDone,
    barrier_number,
    claim_of,
    evolve,
    handover_of,
    may_act,
    owed,
)
from shared.roles.records import DeathNotice, SwitchoverRequest
from tests.roles.histories import PERIOD_MS, RolesLog, started

K = 7
PROMOTION = [
    Step.INITIALISE, Step.SEND_BARRIER, Step.CATCH_UP, Step.READ_OUTBOX, Step.ANNOUNCE, Step.ACT,
]  # fmt: skip


@dataclass
class Central:
    """A central that reads `log`; `now_s` is its own clock."""

    log: RolesLog
    node: str
    now_s: float = 1_000.0
    place: int = 0
    number: int = 0
    acting: Acting = field(init=False)

    def __post_init__(self) -> None:
        self.acting = Acting(f"{self.node}/1")

    def read(self) -> Acting:
        """Read the log to its end."""
        while self.place < len(self.log.records):
            record = self.log.records[self.place][0]
            self.acting = evolve(self.acting, Read(record, self.log.states[self.place]))
            self.place += 1
        return self.acting

    def send(self) -> dict[str, object]:
        """Hand a heartbeat over for sending; returns what it carries."""
        self.number += 1
        self.acting = evolve(self.acting, HeartbeatSent(self.number, self.now_s))
        return {
            "number": self.number,
            "barrier": barrier_number(self.acting),
            "acknowledged_ticks": self.acting.roles.ticks,
        }

    def beat(self) -> Acting:
        """Send a heartbeat and read it back."""
        self.log.beat(self.node, **self.send())
        return self.read()

    def do(self) -> Step:
        """Take the step that is owed, well."""
        step = owed(self.acting)
        if step is Step.SEND_BARRIER:
            self.beat()
        else:
            self.acting = evolve(self.acting, StepDone(step, self.acting.promotion))
        return step

    def promote(self) -> list[Step]:
        """Take steps until it acts."""
        self.read()
        return [self.do() for _ in PROMOTION]

    @property
    def may_act(self) -> bool:
        return may_act(self.acting, self.now_s)


def test_an_accepted_claim_is_followed_by_every_step_in_order() -> None:
    central = Central(started("a", "b"), "a")

    assert central.promote() == PROMOTION
    assert central.may_act
    assert central.acting.epoch == central.log.state.epoch


def test_a_standby_owes_nothing_and_may_not_act() -> None:
    central = Central(started("a", "b"), "b")
    central.read()
    central.beat()

    assert owed(central.acting) is Step.NOTHING
    assert not central.may_act


def test_only_a_heartbeat_sent_after_the_transactional_id_was_taken_is_a_barrier() -> None:
    central = Central(started("a", "b"), "a")
    central.read()
    early = central.send()
    central.do()
    assert owed(central.acting) is Step.SEND_BARRIER

    central.log.beat("a", **early)
    central.read()

    assert central.acting.phase is Phase.BARRIER
    assert not central.may_act
    assert central.beat().phase is Phase.CATCHING_UP


def test_a_newer_claim_before_the_barrier_ends_the_promotion() -> None:
    central = Central(started("a", "b"), "a")
    central.read()
    central.do()
    barrier = central.send()
    central.log.append(DeathNotice("a/1", "agent"))
    central.log.claim("b")
    central.log.beat("a", **barrier)

    assert central.read().phase is Phase.STANDBY
    assert not central.may_act


def test_the_lease_counts_from_sending_and_ends_before_anybody_may_claim() -> None:
    central = Central(started("a", "b"), "a")
    central.promote()
    sent_at_s = central.now_s
    lease_s = (K - 2) * 0.8 * PERIOD_MS / 1000

    central.now_s = sent_at_s + lease_s - 0.01
    assert central.may_act
    central.now_s = sent_at_s + lease_s
    assert not central.may_act


def test_a_heartbeat_read_back_late_gives_only_what_is_left() -> None:
    central = Central(started("a", "b"), "a")
    central.promote()
    queued = central.send()
    central.now_s += 20.0
    central.log.beat("a", **queued)
    central.read()

    assert not central.may_act
    central.beat()
    assert central.may_act


def test_ticks_unread_at_the_place_of_the_heartbeat_shorten_the_lease() -> None:
    central = Central(started("a", "b"), "a")
    central.promote()
    behind = central.send()
    central.now_s += 0.5
    central.log.tick(3, beating=("b",))
    central.acting = central.acting._replace(lease_until_s=float("-inf"))
    central.log.beat("a", **behind)
    central.read()

    left_s = central.acting.lease_until_s - (central.now_s - 0.5)
    assert left_s == pytest.approx((K - 2 - 3) * 0.8 * PERIOD_MS / 1000)


def test_a_failure_is_followed_by_a_look_at_the_log_and_a_new_producer() -> None:
    central = Central(started("a", "b"), "a")
    central.promote()
    promotion = central.acting.promotion
    central.acting = evolve(central.acting, ActingFailed(promotion))
    assert not central.may_act
    assert owed(central.acting) is Step.SEND_BARRIER

    central.beat()

    assert owed(central.acting) is Step.INITIALISE
    assert [central.do() for _ in PROMOTION] == PROMOTION
    assert central.may_act


def test_a_failure_that_was_the_fence_ends_in_standby() -> None:
    central = Central(started("a", "b"), "a")
    central.promote()
    central.log.append(DeathNotice("a/1", "agent"))
    central.log.claim("b")
    central.acting = evolve(central.acting, ActingFailed(central.acting.promotion))

    assert central.beat().phase is Phase.STANDBY


def test_what_an_older_promotion_did_or_failed_at_is_nothing_now() -> None:
    central = Central(started("a", "b"), "a")
    central.read()
    before = central.acting

    central.acting = evolve(before, ActingFailed(before.promotion - 1))
    central.acting = evolve(central.acting, StepDone(Step.INITIALISE, before.promotion - 1))

    assert central.acting == before


def test_a_death_notice_for_a_living_primary_makes_it_somebody_new() -> None:
    central = Central(started("a", "b"), "a")
    central.promote()
    central.log.append(DeathNotice("a/1", "mistaken"))
    central.read()

    assert not central.may_act
    assert owed(central.acting) is Step.BE_REBORN


class TestHandover:
    def switching(self) -> tuple[Central, Central]:
        log = started("a", "b")
        old, new = Central(log, "a"), Central(log, "b")
        old.promote()
        log.beat("a", acknowledged_ticks=log.state.ticks)
        log.beat("b", acknowledged_ticks=log.state.ticks)
        log.append(SwitchoverRequest("b", "person"))
        old.read()
        return old, new

    def test_it_lets_go_then_the_target_claims_and_acts(self) -> None:
        old, new = self.switching()
        assert [old.do(), owed(old.acting)] == [Step.FLUSH, Step.HAND_OVER]
        assert not old.may_act
        old.log.append(handover_of(old.acting))
        old.read()
        new.read()
        assert owed(old.acting) is Step.NOTHING
        assert owed(new.acting) is Step.CLAIM

        new.log.append(claim_of(new.acting))

        assert new.promote() == PROMOTION
        assert old.read().phase is Phase.STANDBY
        assert (new.may_act, old.may_act) == (True, False)

    def test_unanswered_it_claims_back(self) -> None:
        old, _ = self.switching()
        old.do()
        old.log.append(handover_of(old.acting))
        old.log.tick(3, beating=("a", "b"))
        old.read()
        assert owed(old.acting) is Step.CLAIM

        old.log.append(claim_of(old.acting))

        assert old.promote() == PROMOTION
        assert old.may_act

    def test_refused_where_it_stands_it_acts_again(self) -> None:
        old, _ = self.switching()
        old.do()
        old.log.append(DeathNotice("b/1", "agent"))
        old.log.append(handover_of(old.acting))
        old.read()
        assert owed(old.acting) is Step.SEND_BARRIER

        old.beat()

        assert [old.do() for _ in PROMOTION] == PROMOTION
        assert old.may_act

    def test_one_thought_lost_that_came_is_kept(self) -> None:
        old, _ = self.switching()
        old.do()
        late = handover_of(old.acting)
        old.acting = evolve(old.acting, ActingFailed(old.acting.promotion))
        old.beat()
        old.log.append(late)
        old.read()

        assert old.acting.phase is Phase.HANDED_OVER
        assert not old.may_act

    def test_a_primary_that_cannot_work_hands_over_unasked(self) -> None:
        log = started("a", "b")
        central = Central(log, "a")
        central.promote()
        log.beat("b", acknowledged_ticks=log.state.ticks)
        central.read()

        central.acting = evolve(central.acting, FitnessChanged(False))

        assert owed(central.acting) is Step.FLUSH
        assert central.acting.handing_to == "b/1"

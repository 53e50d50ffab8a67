"""What registries propose, and to whom a primary hands over."""

import pytest

from shared.roles.fold import START
from shared.roles.policy import best_candidate, handover_target, propose, switchover_problem
from shared.roles.records import DeathNotice, Handover, SwitchoverRequest
from tests.roles.histories import RolesLog, started

K = 7


def proposed(log: RolesLog) -> str | None:
    claim = propose(log.state, by="r1")
    return None if claim is None else claim.incarnation


def test_nothing_is_proposed_while_the_primary_lives() -> None:
    assert proposed(started("a", "b")) is None
    assert propose(START, by="r1") is None


def test_at_the_start_priority_decides() -> None:
    log = started("c", "b", primary="nobody")

    assert proposed(log) == "b/1"


def test_what_is_proposed_is_accepted() -> None:
    log = started("a", "b", "c")
    log.append(DeathNotice("a/1", "agent"))
    claim = propose(log.state, by="r1")
    assert claim is not None
    assert claim.reason == "seen dead"

    log.append(claim)

    assert log.state.holder == "b/1"
    assert proposed(log) is None


@pytest.mark.parametrize("what", [{"lag_s": 31.0}, {"lag_s": None}, {"is_fit": False}])
def test_who_lags_or_cannot_work_is_no_candidate(what: dict[str, object]) -> None:
    log = started("a", "b", "c")
    log.append(DeathNotice("a/1", "agent"))
    log.beat("b", **what)
    assert proposed(log) == "c/1"

    log.beat("c", **what)

    assert proposed(log) is None


def test_of_the_same_priority_the_one_that_lags_less() -> None:
    log = started("a", "b", "c")
    log.append(DeathNotice("a/1", "agent"))
    log.beat("b", priority=5, lag_s=2.0)
    log.beat("c", priority=5, lag_s=1.0)

    assert proposed(log) == "c/1"


def test_a_paused_cluster_proposes_nothing() -> None:
    log = started("a", "b", is_paused=True)
    log.append(DeathNotice("a/1", "agent"))

    assert proposed(log) is None


def test_a_primary_hands_over_only_when_asked_and_only_to_who_is_there() -> None:
    log = started("a", "b", "c")
    assert handover_target(log.state) is None
    log.append(SwitchoverRequest("c", "person"))
    target = handover_target(log.state)
    assert target is not None
    assert target.incarnation == "c/1"

    log.tick(beating=("a", "b"))

    assert handover_target(log.state) is None


def test_a_primary_that_cannot_work_hands_over_unasked_but_not_in_a_pause() -> None:
    log = started("a", "b")
    assert handover_target(log.state, is_needed=True) is not None

    paused = started("a", "b", is_paused=True)

    assert handover_target(paused.state, is_needed=True) is None


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ("x", "there is no node x"),
        ("a", "a is the primary"),
        ("b", "b has not answered the last 3 ticks"),
        ("c", "c is 31.0 s behind, more than the 30 s of maximum_lag_s"),
        ("", "b has not answered the last 3 ticks; c is 31.0 s behind"),
    ],
)
def test_why_a_switchover_is_not_possible_is_said(node: str, said: str) -> None:
    log = started("a", "b", "c")
    log.tick(3, beating=("a",))
    log.beat("c", lag_s=31.0)

    assert said in switchover_problem(log.state, node)


def test_a_switchover_that_is_possible_has_no_problem() -> None:
    log = started("a", "b")

    assert switchover_problem(log.state, "b") == switchover_problem(log.state, "") == ""


def test_alone_there_is_nobody_to_switch_to() -> None:
    assert switchover_problem(started("a").state, "") == "there is no other node"


def test_no_switchover_in_a_switchover() -> None:
    log = started("a", "b")
    log.append(Handover("a/1", "b/1"))

    assert switchover_problem(log.state, "b") == "the primary hands over"


def test_the_best_candidate_is_never_the_primary() -> None:
    assert best_candidate(started("a").state) is None

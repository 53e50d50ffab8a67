"""Forced claims: accepted by the fold, and refused with a reason."""

from typing import Any

import pytest

from services.registry.failover import Refused, failover_claim, failover_warning
from shared.roles.fold import START, Standing, standing
from shared.roles.policy import propose
from shared.roles.records import Config, DeathNotice, Handover
from tests.roles.histories import RolesLog, started


def dead(*standbys: str) -> RolesLog:
    log = started("a", *standbys, is_paused=True)
    log.append(DeathNotice("a/1", "somebody"))
    return log


def test_the_named_node_is_claimed_though_it_lags_and_the_cluster_is_paused() -> None:
    log = dead("b", "c")
    log.beat("c", lag_s=1000.0)

    log.append(failover_claim(log.state, to="c", by="r1"))

    assert log.state.holder == "c/1"


def test_without_a_name_the_best_is_claimed_a_fit_one_before_all() -> None:
    log = dead("b", "c")
    log.beat("b", is_fit=False)
    log.beat("c", lag_s=None)
    assert failover_claim(log.state, to="", by="r1").incarnation == "c/1"

    log.beat("b", is_fit=True, lag_s=500.0)
    assert failover_claim(log.state, to="", by="r1").incarnation == "b/1"


def test_one_that_is_not_ready_or_not_proven_equal_is_taken_only_by_its_name() -> None:
    log = dead("b")
    log.beat("b", is_fit=False)
    with pytest.raises(Refused, match=r"nobody is ready, or proven equal yet: .* \(b\)"):
        failover_claim(log.state, to="", by="r1")
    assert failover_claim(log.state, to="b", by="r1").incarnation == "b/1"


def idle(**config: Any) -> RolesLog:
    """Return a log whose primary lives, and has committed nothing for too long."""
    log = started("a", "b", "c", hold_down_s=0.0, **config)
    log.tick(4 * 7, beating=("a", "b", "c"))
    assert standing(log.state) is Standing.IDLE
    return log


@pytest.mark.parametrize("is_paused", [True, False])
@pytest.mark.parametrize(("to", "holder"), [("c", "c/1"), ("", "b/1")])
def test_one_that_lives_and_does_not_act_is_replaced_by_a_person_also_in_a_pause(
    to: str, holder: str, is_paused: bool
) -> None:
    log = idle(is_paused=is_paused)

    log.append(failover_claim(log.state, to=to, by="r1"))

    assert log.state.holder == holder
    assert standing(log.state) is Standing.ALIVE


def test_in_a_pause_nobody_else_replaces_it() -> None:
    log = idle(is_paused=True)
    assert propose(log.state, by="r1") is None
    epoch = log.state.epoch
    log.claim("b")
    assert log.state.epoch == epoch


def handing_over() -> RolesLog:
    log = started("a", "b")
    log.append(Handover("a/1", "b/1"))
    return log


def expired() -> RolesLog:
    log = handing_over()
    log.tick(3, beating=("a", "b"))
    return log


def without_ticks() -> RolesLog:
    log = RolesLog()
    log.append(Config(period_ms=400))
    log.beat("a")
    return log


@pytest.mark.parametrize(
    ("log", "to", "why"),
    [
        (started("a", "b"), "b", "the primary lives: use switchover"),
        (handing_over(), "b", "the primary hands over: use switchover"),
        (expired(), "b", "only a/1 may take an unanswered handover back"),
        (idle(is_paused=True), "a", "a/1 is the one to be replaced"),
        (dead("b"), "nowhere", "there is no node nowhere"),
        (dead("b"), "a", "a is dead, or does not read the log"),
        (dead(), "", "every node is dead, or does not read the log"),
        (without_ticks(), "a", "0 of 2 first ticks"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(log: RolesLog, to: str, why: str) -> None:
    with pytest.raises(Refused) as refused:
        failover_claim(log.state, to=to, by="r1")

    assert str(refused.value) == why


def test_nobody_is_claimed_before_the_log_is_configured() -> None:
    with pytest.raises(Refused):
        failover_claim(START, to="", by="r1")


def test_one_that_only_keeps_a_copy_is_taken_when_it_is_named() -> None:
    log = started("a", "c")
    log.beat("c", is_fit=False, copies_only=True)
    log.append(DeathNotice("a/1", "somebody"))

    with pytest.raises(Refused):
        failover_claim(log.state, to="", by="r1")
    assert failover_claim(log.state, to="c", by="r1").incarnation == "c/1"


@pytest.mark.parametrize(
    ("said", "warning"),
    [
        ({}, ""),
        ({"lag_s": 4.9}, ""),
        (
            {"lag_s": 12.04},
            "b was taken although it is 12.0 s behind, more than the 5 s of maximum_lag_s",
        ),
        ({"lag_s": None}, "b was taken although it has not said yet how far it is behind"),
        (
            {"is_fit": False},
            "b was taken although it cannot do its work, or is not proven equal yet",
        ),
        (
            {"is_fit": False, "copies_only": True},
            "b was taken although it only keeps a copy: its setting candidate is off",
        ),
    ],
)
def test_what_spoke_against_the_one_that_is_taken_is_said(said: Any, warning: str) -> None:
    log = started("a", "b", maximum_lag_s=5.0)
    log.append(DeathNotice("a/1", "somebody"))
    log.beat("b", **said)

    assert failover_warning(log.state, failover_claim(log.state, to="b", by="r1")) == warning


def test_who_takes_its_unanswered_handover_back_is_no_doubt() -> None:
    log = expired()

    assert failover_warning(log.state, failover_claim(log.state, to="a", by="r1")) == ""

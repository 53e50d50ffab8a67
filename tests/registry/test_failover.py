"""Forced claims: accepted by the fold, and refused with a reason."""

import pytest

from services.registry.failover import Refused, failover_claim
from shared.roles.fold import START
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

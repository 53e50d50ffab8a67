"""A node that left is listed no more; one that only keeps a copy is never chosen."""

import pytest

from shared.roles.fold import NO_EPOCH, is_candidate, refusal
from shared.roles.history import decision_entry, is_decision
from shared.roles.policy import (
    best_candidate,
    candidate_problem,
    departure_problem,
    handover_target,
    propose,
    switchover_problem,
)
from shared.roles.records import DeathNotice, Departure
from shared.roles.snapshot import snapshot_of, state_of
from shared.roles.view import cluster_alarms, cluster_view
from tests.roles.histories import RolesLog, started


def nodes(log: RolesLog) -> list[str]:
    return [each["name"] for each in cluster_view(log.state, None, [])["nodes"]]


def test_who_left_is_forgotten_and_its_last_heartbeats_with_it() -> None:
    log = started("a", "b", "c")

    log.append(Departure("c", "r1"))
    assert nodes(log) == ["a", "b"]

    log.beat("c")
    assert nodes(log) == ["a", "b"]
    assert "c/1" in log.state.dead


def test_a_machine_of_the_same_name_may_come_later() -> None:
    log = started("a", "b", "c")
    log.append(Departure("c", "r1"))

    log.beat("c", incarnation="c/2")

    assert nodes(log) == ["a", "b", "c"]
    assert is_candidate(log.state, "c/2")


@pytest.mark.parametrize(("node", "why"), [("a", "is the primary"), ("x", "there is no node x")])
def test_neither_the_primary_nor_nobody_leaves(node: str, why: str) -> None:
    log = started("a", "b")
    before = log.state
    assert why in refusal(before, Departure(node, "r1"))
    assert not is_decision(before, Departure(node, "r1"))

    log.append(Departure(node, "r1"))

    assert log.state._replace(offset=before.offset) == before


def test_one_that_is_heard_leaves_from_its_own_machine() -> None:
    log = started("a", "b")
    assert "steadflow standby leave" in departure_problem(log.state, "b", has_stopped=False)
    assert departure_problem(log.state, "b", has_stopped=True) == ""

    log.append(DeathNotice("b/1", "up"))
    assert departure_problem(log.state, "b", has_stopped=False) == ""


def test_a_departure_stands_in_the_history() -> None:
    log = started("a", "b")
    record = Departure("b", "r1")

    assert is_decision(log.state, record)
    entry = decision_entry(record, generation=1, offset=9, at_ms=5)
    assert (entry["is"], entry["node"], entry["by"]) == ("departure", "b", "r1")


def with_a_copy() -> RolesLog:
    """Return a log of a primary `a` and of `c`, which only keeps a copy."""
    log = started("a", "c")
    log.beat("c", is_fit=False, copies_only=True)
    return log


def test_a_copy_is_never_proposed_and_the_reason_is_said() -> None:
    log = with_a_copy()
    log.append(DeathNotice("a/1", "up"))
    log.tick(1, beating=())

    assert propose(log.state, by="r1") is None
    assert best_candidate(log.state) is None
    member = log.state.members["c/1"]
    assert "only keeps a copy" in candidate_problem(log.state, member)
    assert any("only keeps a copy" in alarm.text for alarm in cluster_alarms(log.state, None))


def test_the_same_node_without_the_setting_is_proposed() -> None:
    log = with_a_copy()
    log.beat("c", is_fit=True, copies_only=False)
    log.append(DeathNotice("a/1", "up"))

    claim = propose(log.state, by="r1")
    assert claim is not None
    assert claim.incarnation == "c/1"


def test_nobody_hands_over_to_a_copy() -> None:
    log = with_a_copy()

    assert "only keeps a copy" in switchover_problem(log.state, "c")
    assert handover_target(log.state, is_needed=True) is None


def test_another_standby_is_taken_and_the_copy_is_passed_over() -> None:
    log = started("a", "b", "c")
    log.beat("c", is_fit=False, copies_only=True, priority=1)
    log.append(DeathNotice("a/1", "up"))

    claim = propose(log.state, by="r1")
    assert claim is not None
    assert claim.incarnation == "b/1"


def test_the_view_and_a_snapshot_carry_it() -> None:
    log = with_a_copy()
    shown = {each["name"]: each for each in cluster_view(log.state, None, [])["nodes"]}

    assert (shown["a"]["candidate"], shown["c"]["candidate"]) == (True, False)
    assert state_of(snapshot_of(log.state)) == log.state
    assert log.state.epoch != NO_EPOCH

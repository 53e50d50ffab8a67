"""The cluster as it is shown, and what is said to be wrong with it."""

import json

import pytest

from shared.roles.cluster import ClusterRoles
from shared.roles.fold import START, RolesState
from shared.roles.records import Config, DeathNotice, Handover
from shared.roles.view import (
    AlarmKind,
    NodeRole,
    cluster_alarms,
    cluster_view,
    node_role,
    primary_node,
    shown_members,
    standby_problem,
    standbys,
)
from tests.roles.histories import RolesLog, started

K = 7


def roles_of(state: RolesState, **changes: object) -> ClusterRoles:
    fields: dict[str, object] = {"generation": 1, "epoch": state.epoch, "primary": "a"} | changes
    return ClusterRoles(**fields)  # type: ignore[arg-type]  # keywords of a test


def kinds(state: RolesState, roles: ClusterRoles | None) -> set[AlarmKind]:
    return {alarm.kind for alarm in cluster_alarms(state, roles)}


def test_a_healthy_cluster_is_shown_whole() -> None:
    log = started("a", "b")
    log.beat("a", url="http://a:1")
    log.beat("b", lag_s=1.5, lag_records=7)
    roles = roles_of(log.state, reason="silent", took_s=2.5, since_ms=1_700_000_000_000)

    view = cluster_view(log.state, roles, ["one"])

    assert json.loads(json.dumps(view)) == {
        "generation": 1,
        "epoch": log.state.epoch,
        "standing": "the primary lives",
        "primary": "a",
        "since": "2023-11-14T22:13:20.800+00:00",
        "paused": False,
        "config": {
            "period_ms": 400,
            "dead_ticks": 7,
            "hold_down_s": 60.0,
            "maximum_lag_s": 30.0,
        },
        "nodes": [
            {
                "name": "a",
                "role": "primary",
                "url": "http://a:1",
                "incarnation": "a/1",
                "is_fit": True,
                "candidate": True,
                "priority": 0,
                "lag_records": None,
                "lag_s": 0.0,
                "unacknowledged_ticks": 0,
                "problem": "",
            },
            {
                "name": "b",
                "role": "standby",
                "url": "",
                "incarnation": "b/1",
                "is_fit": True,
                "candidate": True,
                "priority": 1,
                "lag_records": 7,
                "lag_s": 1.5,
                "unacknowledged_ticks": 0,
                "problem": "",
            },
        ],
        "last_takeover": {
            "epoch": log.state.epoch,
            "reason": "silent",
            "seconds": 2.5,
            "at": "2023-11-14T22:13:20.000+00:00",
        },
        "alarms": ["one"],
    }


def test_before_anything_is_known_the_view_says_so() -> None:
    view = cluster_view(START, None, [])

    assert (view["generation"], view["epoch"], view["primary"], view["since"]) == (
        0,
        -1,
        None,
        None,
    )
    assert (view["standing"], view["config"], view["nodes"]) == ("no configuration yet", None, [])
    assert (view["paused"], view["last_takeover"]) == (False, None)
    assert kinds(START, None) == {AlarmKind.NO_PRIMARY}


def test_the_first_start_was_no_takeover() -> None:
    log = started("a")

    assert cluster_view(log.state, roles_of(log.state), [])["last_takeover"] is None


def test_a_dead_primary_is_no_primary() -> None:
    log = started("a", "b")
    log.tick(K, beating=("b",))

    view = cluster_view(log.state, None, [])

    assert view["primary"] is None
    dead, living = view["nodes"]
    assert (dead["role"], dead["problem"]) == ("dead", "a is dead")
    assert (living["role"], living["problem"]) == ("standby", "")


def test_who_hands_over_is_primary_until_somebody_else_is() -> None:
    log = started("a", "b")
    log.append(Handover("a/1", "b/1"))

    assert primary_node(log.state) == "a"
    log.claim("b")
    assert primary_node(log.state) == "b"


def test_of_a_nodes_processes_the_one_that_lives_is_shown() -> None:
    log = started("a", "b")
    log.append(DeathNotice("b/1", "somebody"))
    log.beat("b", incarnation="b/2")
    log.tick(1)
    log.beat("a", incarnation="a/2")

    shown = {member.node: member for member in shown_members(log.state)}

    assert shown["b"].incarnation == "b/2"
    # The second process of that name answered more, but this one holds the role.
    assert shown["a"].incarnation == "a/1"
    assert node_role(log.state, shown["a"]) is NodeRole.PRIMARY


def test_standbys_are_the_good_candidates_the_best_first() -> None:
    log = started("a", "b", "c")
    log.beat("c", lag_s=4.0, priority=0)
    log.beat("b", lag_s=2.0)

    assert [member.node for member in standbys(log.state)] == ["c", "b"]
    assert [member.node for member in standbys(log.state, maximum_lag_s=3.0)] == ["b"]
    assert standbys(log.state, maximum_lag_s=1.0) == []
    assert standby_problem(log.state, maximum_lag_s=1.0) == (
        "the best standby is 2.0 s behind, more than 1 s"
    )


def test_why_there_is_no_standby_is_said() -> None:
    alone, lagging = started("a"), started("a", "b")
    lagging.beat("b", lag_s=None)

    assert standby_problem(alone.state) == "there is no other node"
    assert standby_problem(lagging.state) == "b has not said yet how far it is behind"


def test_of_many_nodes_that_are_gone_the_last_ones_are_named() -> None:
    log = started("a", *(f"n{number}" for number in range(6)))
    log.tick(K, beating=("a",))

    assert standby_problem(log.state).endswith("n3 has not answered the last 7 ticks; nor 2 others")


def test_nothing_is_wrong_with_a_healthy_cluster() -> None:
    state = started("a", "b").state

    assert kinds(state, roles_of(state)) == set()


def test_nobody_is_primary_and_nobody_could_be() -> None:
    log = started("a", "b")
    log.tick(K)

    assert kinds(log.state, roles_of(log.state)) == {AlarmKind.NO_PRIMARY, AlarmKind.NO_CANDIDATE}
    no_primary, no_candidate = cluster_alarms(log.state, roles_of(log.state))
    assert no_primary.text == "nobody is primary: the primary is dead"
    assert no_candidate.text == "nobody could take over: b has not answered the last 7 ticks"


def test_roles_of_an_epoch_that_the_log_does_not_have() -> None:
    state = started("a", "b").state

    assert kinds(state, roles_of(state, epoch=state.epoch + 1)) == {AlarmKind.ROLES_AHEAD}


@pytest.mark.parametrize("epoch", [None, 1])
def test_a_primary_that_does_not_begin_to_act(epoch: int | None) -> None:
    log = started("a", "b")
    roles = None if epoch is None else roles_of(log.state, epoch=epoch)

    log.tick(K, beating=("a", "b"))
    assert kinds(log.state, roles) == set()
    log.tick(1, beating=("a", "b"))
    assert kinds(log.state, roles) == {AlarmKind.ROLES_BEHIND}


def test_a_primary_that_is_dead_may_not_have_begun() -> None:
    log = started("a", "b")
    log.tick(K + 1, beating=("b",))

    assert kinds(log.state, None) == {AlarmKind.NO_PRIMARY}


@pytest.mark.parametrize("generation", [1, 3])
def test_a_log_that_was_made_again(generation: int) -> None:
    log = RolesLog()
    log.append(Config(period_ms=400, generation=2))

    found = kinds(log.state, ClusterRoles(generation=generation, epoch=9_000, primary="a"))

    assert found == {AlarmKind.LOG_REMADE, AlarmKind.NO_PRIMARY}


def test_two_living_processes_of_one_name_are_an_alarm_and_a_restarted_one_is_not() -> None:
    log = started("a", "b")
    log.append(DeathNotice("b/1", "up"))
    log.beat("b", incarnation="b/2")
    assert kinds(log.state, roles_of(log.state)) == set()

    log.beat("b", incarnation="b/3")

    assert kinds(log.state, roles_of(log.state)) == {AlarmKind.DOUBLED_NAME}
    (alarm,) = cluster_alarms(log.state, roles_of(log.state))
    assert "b/2, b/3" in alarm.text
    log.tick(K)
    log.beat("a")
    log.beat("b", incarnation="b/3")
    assert AlarmKind.DOUBLED_NAME not in kinds(log.state, roles_of(log.state))

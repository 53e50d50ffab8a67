"""The failover strip says who is primary, how the nodes stand, and what happened last."""

from typing import Any

from services.central.pages.strip import marks_of, strip_of
from shared.roles.cluster import ClusterRoles
from shared.roles.fold import START, Member, RolesState
from shared.roles.history import Takeover
from shared.roles.records import Config

NOW_MS = 1_000_000


def member(node: str, **changes: Any) -> Member:
    url = f"http://{node}"
    return Member(node, f"{node}/1", 50, 100, 0, 0.0, is_fit=True, url=url)._replace(**changes)


def state(*members: Member, **changes: Any) -> RolesState:
    found = RolesState(
        config=Config(), ticks=50, epoch=7, holder="a/1", since_ms=NOW_MS - 120_000,
        members={each.incarnation: each for each in members}, acted_tick=50,
    )  # fmt: skip
    return found._replace(**changes)


def shown(of: RolesState, written: ClusterRoles | None = None) -> dict[str, Any]:
    return strip_of(of, written, here="b", now_ms=NOW_MS)


def test_without_a_registry_there_is_no_strip() -> None:
    assert shown(START)["state"] == "none"


def test_primary_standby_and_the_way_to_the_other() -> None:
    model = shown(state(member("a"), member("b", lag_s=4.0)))
    assert (model["state"], model["primary"], model["epoch"]) == ("ok", "a", "7")
    words = [(each["name"], each["role"], each["word"], each["here"]) for each in model["nodes"]]
    assert words[0] == ("a", "primary", "up to date", False)
    assert words[1][:2] == ("b", "standby")
    assert "behind" in words[1][2]
    assert words[1][3]
    assert model["others"] == [{"name": "a", "url": "http://a"}]


def test_a_dead_primary_is_said() -> None:
    model = shown(state(member("a", acknowledged_ticks=30), member("b")))
    assert model["state"] == "vacant"
    assert model["nodes"][0]["word"] == "silent"
    assert any("nobody is primary" in each for each in model["alarms"])


def test_the_last_takeover_with_its_time() -> None:
    written = ClusterRoles(
        generation=1, epoch=7, primary="a", since_ms=NOW_MS - 120_000, reason="silent", took_s=2.5
    )
    said = shown(state(member("a"), member("b")), written)["takeover"]
    assert said == "a took over 2 min ago (silent); nobody acted for 2.50 s"


def test_a_chart_marks_takeovers_of_its_range_alone() -> None:
    takeovers = [Takeover(100, "a", "start", None), Takeover(200, "b", "silent", 2.0)]
    assert [each["at"] for each in marks_of(takeovers, 0, 300)] == [200]
    assert marks_of(takeovers, 201, 300) == []

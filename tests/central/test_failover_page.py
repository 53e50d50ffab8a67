"""What the Failover page says in each standing, and what happened last night."""

from dataclasses import replace
from typing import Any

from services.central.join.opening import Opening
from services.central.pages.decisions import decisions
from services.central.pages.failover import ENABLE, Known, failover_of
from services.central.pages.lost import Compared
from services.central.proof.ledger import Proven
from shared.drill import Drill, Kind, ended
from shared.roles.cluster import ClusterRoles
from shared.roles.fold import START, Member, RolesState
from shared.roles.records import Config

NOW_MS = 10_000_000
MINUTE_MS = 60_000


def member(node: str, **changes: Any) -> Member:
    url = f"http://{node}"
    return Member(node, f"{node}/1", 50, 100, 0, 0.0, is_fit=True, url=url, lag_records=0)._replace(
        **changes
    )


def state(*members: Member, **changes: Any) -> RolesState:
    found = RolesState(
        config=Config(), ticks=50, last_tick_ms=NOW_MS - 300, epoch=7, holder="a/1",
        since_ms=NOW_MS - 120_000, acted_tick=50,
        members={each.incarnation: each for each in members},
    )  # fmt: skip
    return found._replace(**changes)


KNOWN = Known(
    "a",
    state(member("a"), member("b", lag_s=0.4, lag_records=1200)),
    ClusterRoles(generation=1, epoch=7, primary="a", since_ms=NOW_MS - 120_000),
)


def entry(at_ms: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"generation": 1, "offset": at_ms, "at_ms": at_ms, "is": kind, **fields}


def acts(at_ms: int, primary: str, reason: str, took_s: float | None) -> dict[str, Any]:
    return entry(at_ms, "acts", primary=primary, reason=reason, took_s=took_s)


def config(at_ms: int, *, is_paused: bool) -> dict[str, Any]:
    return entry(at_ms, "config", by="registry-1", is_paused=is_paused, dead_ticks=7, period_ms=400)


NIGHT = [
    config(1, is_paused=False),
    acts(2, "a", "start", None),
    entry(3, "death", incarnation="a/1", seen_by="launcher"),
    entry(4, "claim", incarnation="b/1", by="registry-1", reason="seen dead"),
    acts(5, "b", "seen dead", 0.21),
    config(6, is_paused=True),
    config(7, is_paused=False),
]


def test_before_anything_was_decided() -> None:
    model = failover_of(Known("a", START), NOW_MS)

    assert (model["state"], model["nodes"], model["history"]) == ("none", [], [])


def test_a_primary_and_a_standby_that_is_up_to_date() -> None:
    model = failover_of(KNOWN, NOW_MS)

    assert (model["state"], model["primary"], model["epoch"]) == ("ok", "a", "7")
    assert (model["since"], model["held"]) == (NOW_MS - 120_000, "2 min")
    assert model["tick"] == {"text": "0.3 s ago", "level": ""}
    one, other = model["nodes"]
    assert (one["role"], one["here"], other["role"]) == ("primary", True, "hot standby")
    assert (other["lag"], other["records"], other["word"]) == ("0.4 s", "1\u2009200", "up to date")
    assert model["alarms"] == []


def test_ticks_that_stopped_are_said() -> None:
    late = replace(KNOWN, state=KNOWN.state._replace(last_tick_ms=NOW_MS - 600_000))

    assert failover_of(late, NOW_MS)["tick"] == {"text": "10 min ago", "level": "bad"}


def test_without_a_primary_that_is_an_alarm() -> None:
    vacant = replace(KNOWN, state=state(member("a", acknowledged_ticks=30), member("b")))

    model = failover_of(vacant, NOW_MS)

    assert (model["state"], model["primary"]) == ("vacant", "")
    assert model["standing"] == "the primary is dead"
    assert any("nobody is primary" in each for each in model["alarms"])


def test_how_far_the_other_is_proven_equal() -> None:
    def shown(*proven: Proven) -> tuple[str, int]:
        proof = failover_of(replace(KNOWN, proven=proven), NOW_MS)["nodes"][1]["proof"]
        return proof["text"], proof["at"]

    assert failover_of(KNOWN, NOW_MS)["nodes"][1]["proof"]["text"] == "not compared yet"
    assert shown(Proven("b", 0, 0)) == ("not yet", 0)
    assert shown(Proven("b", 9 * MINUTE_MS, 0)) == ("", 8 * MINUTE_MS)


def test_a_difference_is_an_alarm_that_names_its_remedy() -> None:
    model = failover_of(replace(KNOWN, proven=[Proven("b", 5, 2)]), NOW_MS)

    assert model["nodes"][1]["proof"]["text"] == "2 differences"
    assert any("steadflow standby repair" in each for each in model["alarms"])


def test_what_a_takeover_lost_is_judged_by_the_centrals_that_the_cluster_has() -> None:
    def shown(compared: Compared) -> list[str]:
        model = failover_of(replace(KNOWN, entries=NIGHT, compared=compared), NOW_MS)
        return [row["lost"] for row in model["history"] if row["is_takeover"]]

    assert shown(Compared({"b": NOW_MS})) == ["0", "0"]
    assert shown(Compared({"b": NOW_MS, "left": 0})) == ["0", "0"]
    assert shown(Compared({"left": NOW_MS})) == ["not proven yet"] * 2


def test_enable_first_then_invite() -> None:
    def enable(known: Known) -> Any:
        return failover_of(known, NOW_MS)["enable"]

    assert enable(KNOWN)["command"] == ENABLE
    assert not enable(KNOWN)["by_page"]
    opened = replace(KNOWN, joining_url="https://a")
    assert enable(opened) is None
    opening = enable(replace(opened, opening=Opening(by_page=True, is_under_way=True)))
    assert (opening["is_under_way"], opening["problem"]) == (True, "")
    refused = enable(replace(KNOWN, opening=Opening(by_page=True, problem="port 443 is taken")))
    assert (refused["is_under_way"], refused["problem"]) == (False, "port 443 is taken")


def test_while_a_drill_runs_there_is_no_other() -> None:
    running = Drill("00c0ffee00c0ffee", Kind.SWITCHOVER, "a", NOW_MS)

    model = failover_of(replace(KNOWN, drills=[running]), NOW_MS)
    after = failover_of(replace(KNOWN, drills=[ended(running, NOW_MS, "away")]), NOW_MS)

    assert (model["can_drill"], model["drills"][0]["verdict"]) == (False, "running")
    assert (after["can_drill"], after["drills"][0]["verdict"]) == (True, "failed")
    assert after["drills"][0]["error"] == "away"


def test_what_happened_last_night_is_read_from_the_newest_on() -> None:
    rows = decisions(NIGHT, Compared({"a": 2 * MINUTE_MS}), NOW_MS)

    assert [(row["what"], row["why"]) for row in rows] == [
        ("Failover was resumed", "through registry-1"),
        ("Failover was paused", "through registry-1"),
        ("b took over from a", "The process of a ended"),
        ("b was chosen", "seen dead, by registry-1"),
        ("The process of a ended", "seen by launcher"),
        ("a became primary", "First start"),
        ("Policy: dead after 7 ticks of 400 ms", "through registry-1"),
    ]
    took = rows[2]
    assert (took["took"], took["lost"]) == ("0.21 s", "0")
    assert (took["lost_level"], "proven equal" in took["lost_title"]) == ("", True)

"""The routes of the registry, on a log in memory."""

import httpx
import pytest

from services.registry.api import create_api
from shared.roles.records import DeathNotice, Departure, Handover, Record, SwitchoverRequest
from tests.registry.memory_cluster import MemoryCluster
from tests.roles.histories import RolesLog, started

TOKEN = "right"


async def ask(
    cluster: MemoryCluster,
    method: str,
    path: str,
    body: object = None,
    *,
    token: str | None = TOKEN,
    noted: list[tuple[str, str, str, int]] | None = None,
    **headers: str,
) -> httpx.Response:
    clock = iter(range(10))

    async def note(by: str, address: str, request: str, status: int) -> None:
        if noted is not None:
            noted.append((by, address, request, status))

    app = create_api(cluster, token=token, clock_s=lambda: next(clock) / 4, note=note)
    given = {"Authorization": f"Bearer {TOKEN}"} | headers
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://registry:8090"
    ) as client:
        return await client.request(method, path, json=body, headers=given)


def is_problem(answer: httpx.Response, status: int) -> str:
    """Return the sentence of a problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    detail: str = answer.json()["detail"]
    return detail


def hands_over(log: RolesLog, *, claims: bool = True) -> MemoryCluster:
    """Return a cluster whose primary `a` follows requests to hand over to `b`."""

    def react(record: Record) -> None:
        if isinstance(record, SwitchoverRequest):
            log.append(Handover("a/1", "b/1"))
            if claims:
                log.claim("b")
            else:
                log.tick(3, beating=("a", "b"))
                log.claim("a")

    return MemoryCluster(log, react)


async def test_the_primary_is_told_while_it_lives() -> None:
    log = started("a", "b")
    log.beat("a", url="http://a:1")

    answer = await ask(MemoryCluster(log), "GET", "/primary")
    assert answer.status_code == 200
    assert answer.json() == {"node": "a", "url": "http://a:1", "epoch": log.state.epoch}

    log.append(DeathNotice("a/1", "somebody"))
    answer = await ask(MemoryCluster(log), "GET", "/primary")
    assert (answer.status_code, answer.json()) == (503, {"reason": "the primary is dead"})


async def test_why_nothing_is_known_is_told() -> None:
    for trouble, reason in (("ha.log begins in the middle",) * 2, ("", "no configuration yet")):
        answer = await ask(MemoryCluster(RolesLog(), trouble=trouble), "GET", "/primary")
        assert (answer.status_code, answer.json()) == (503, {"reason": reason})


async def test_standbys_are_told_up_to_a_lag() -> None:
    log = started("a", "b")
    log.beat("b", lag_s=2.5, url="http://b:1")
    cluster = MemoryCluster(log)
    nodes = {"nodes": [{"name": "b", "url": "http://b:1", "lag_s": 2.5}]}

    for query in ("", "?lag=2.5"):
        answer = await ask(cluster, "GET", f"/standby{query}")
        assert (answer.status_code, answer.json()) == (200, nodes)
    answer = await ask(cluster, "GET", "/standby?lag=1")
    assert answer.status_code == 503
    assert "2.5 s behind" in answer.json()["reason"]
    for wrong in ("x", "-1", "nan"):
        assert "lag" in is_problem(await ask(cluster, "GET", f"/standby?lag={wrong}"), 400)


async def test_the_cluster_is_told_with_its_alarms() -> None:
    answer = await ask(MemoryCluster(started("a")), "GET", "/api/v1/cluster")

    assert answer.json()["alarms"] == ["nobody could take over: there is no other node"]


async def test_history_is_told_with_its_problems() -> None:
    answer = await ask(MemoryCluster(started("a"), entries=[{"offset": 1}]), "GET", "/history")

    assert answer.json() == {"entries": [{"offset": 1}], "problems": ["something is wrong"]}


async def test_a_switchover_answers_when_the_other_one_is_primary() -> None:
    cluster = hands_over(started("a", "b"))

    answer = await ask(cluster, "POST", "/switchover", {"to": "b"})

    assert answer.status_code == 200
    assert answer.json() == {"from": "a", "to": "b", "epoch": cluster.state.epoch, "seconds": 0.25}


async def test_a_switchover_that_nobody_follows_ends_with_a_sentence() -> None:
    silent = await ask(MemoryCluster(started("a", "b")), "POST", "/switchover", {"to": ""})
    assert "the primary lives" in is_problem(silent, 504)

    taken_back = await ask(hands_over(started("a", "b"), claims=False), "POST", "/switchover", {})
    assert "a is primary again" in is_problem(taken_back, 504)


async def test_a_failover_names_a_primary_where_none_lives() -> None:
    log = started("a", "b")
    log.append(DeathNotice("a/1", "somebody"))
    log.beat("b", lag_s=None)

    answer = await ask(MemoryCluster(log), "POST", "/failover", {"to": "b"})

    assert answer.status_code == 200
    assert answer.json() == {
        "from": "a", "to": "b", "epoch": log.state.epoch, "seconds": 0.25,
        "warning": "b was taken although it has not said yet how far it is behind",
    }  # fmt: skip
    assert log.state.reason == "failover by hand"


async def test_a_failover_to_a_good_one_warns_of_nothing() -> None:
    log = started("a", "b")
    log.append(DeathNotice("a/1", "somebody"))

    answer = await ask(MemoryCluster(log), "POST", "/failover", {"to": "b"})

    assert (answer.json()["to"], answer.json()["warning"]) == ("b", "")


async def test_of_one_that_was_not_taken_after_all_nothing_is_said() -> None:
    log = started("a", "b", "c")
    log.append(DeathNotice("a/1", "somebody"))
    log.beat("b", is_fit=False)
    cluster = MemoryCluster(log)

    async def another_is_first(record: Record) -> None:
        log.claim("c", is_forced=True)
        log.append(record)

    cluster.append = another_is_first  # type: ignore[method-assign]  # between look and claim

    answer = await ask(cluster, "POST", "/failover", {"to": "b"})

    assert (answer.json()["to"], answer.json()["warning"]) == ("c", "")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/switchover", "there is no node x"),
        ("/failover", "the primary lives: use switchover"),
    ],
)
async def test_what_cannot_be_done_changes_nothing(path: str, why: str) -> None:
    cluster = MemoryCluster(started("a", "b"))
    before = cluster.appended

    answer = await ask(cluster, "POST", path, {"to": "x"})

    assert is_problem(answer, 412) == why
    assert cluster.appended == before


async def test_pausing_twice_appends_once_and_keeps_the_rest_of_the_policy() -> None:
    cluster = MemoryCluster(started("a", "b", maximum_lag_s=5.0))
    before = cluster.appended

    for _ in range(2):
        answer = await ask(cluster, "POST", "/pause")
        assert (answer.status_code, answer.json()) == (200, {"paused": True})
    assert cluster.appended == before + 1
    assert cluster.state.config is not None
    assert cluster.state.config.maximum_lag_s == 5.0

    assert (await ask(cluster, "POST", "/resume")).json() == {"paused": False}
    assert cluster.appended == before + 2


CHANGES = ["/switchover", "/failover", "/pause", "/resume"]


@pytest.mark.parametrize("path", CHANGES)
async def test_every_change_needs_token_and_origin(path: str) -> None:
    cluster = MemoryCluster(started("a", "b"))
    before = cluster.appended

    for answer in (
        await ask(cluster, "POST", path, {"to": ""}, Authorization="Bearer wrong"),
        await ask(cluster, "POST", path, {"to": ""}, Origin="http://elsewhere"),
        await ask(cluster, "POST", path, {"to": ""}, token=None),
    ):
        assert is_problem(answer, 403)
        assert TOKEN not in answer.text
    assert cluster.appended == before


@pytest.mark.parametrize("path", CHANGES)
async def test_nothing_is_changed_while_the_log_is_not_known(path: str) -> None:
    for cluster, why in (
        (MemoryCluster(started("a", "b"), trouble="Kafka is away"), "Kafka is away"),
        (MemoryCluster(RolesLog()), "no configuration yet"),
    ):
        answer = await ask(cluster, "POST", path, {"to": ""})
        assert is_problem(answer, 503) == why


async def test_a_decision_that_cannot_be_written_says_so() -> None:
    cluster = MemoryCluster(started("a", "b"), is_away=True)

    assert "no broker answers" in is_problem(await ask(cluster, "POST", "/pause"), 503)


@pytest.mark.parametrize("body", [None, {"to": 5}, {"to": "b", "more": 1}, {"to": "b" * 300}])
async def test_a_body_that_cannot_be_is_a_problem(body: object) -> None:
    assert is_problem(await ask(MemoryCluster(started("a", "b")), "POST", "/switchover", body), 400)


async def test_who_left_is_forgotten_when_it_is_read_back() -> None:
    log = started("a", "b", "c")
    cluster = MemoryCluster(log)

    heard = await ask(cluster, "POST", "/forget", {"node": "c"})
    assert "steadflow standby leave" in is_problem(heard, 412)
    assert "switch over first" in is_problem(
        await ask(cluster, "POST", "/forget", {"node": "a", "has_stopped": True}), 412
    )
    assert "no node x" in is_problem(await ask(cluster, "POST", "/forget", {"node": "x"}), 412)
    before = cluster.appended

    left = await ask(cluster, "POST", "/forget", {"node": "c", "has_stopped": True})

    assert (left.status_code, left.json()) == (200, {"node": "c"})
    assert (cluster.appended, log.records[-1][0]) == (before + 1, Departure("c", "r1"))


async def test_nobody_switches_over_to_a_copy() -> None:
    log = started("a", "c")
    log.beat("c", is_fit=False, copies_only=True)

    answer = await ask(MemoryCluster(log), "POST", "/switchover", {"to": "c"})

    assert "only keeps a copy" in is_problem(answer, 412)


async def test_a_change_is_recorded_with_who_asked_unless_a_central_records_it() -> None:
    noted: list[tuple[str, str, str, int]] = []

    async def pause(**headers: str) -> None:
        cluster = MemoryCluster(started("a", "b"))
        await ask(cluster, "POST", "/pause", noted=noted, **headers)

    await pause()
    await pause(**{"Steadflow-By": "system alice"})
    await pause(**{"Steadflow-By": "account admin 192.0.2.7", "Steadflow-Forwarded": "1"})
    await pause(Authorization="Bearer wrong")

    assert [each[:3] for each in noted] == [
        ("system token", "127.0.0.1", "POST /pause"),
        ("system alice", "127.0.0.1", "POST /pause"),
    ]

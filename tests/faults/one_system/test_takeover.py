"""The primary dies, falls silent, hands over: another one acts, and the numbers stay the same."""

from collections.abc import Iterator

import httpx
import pytest

from shared.token import read_token
from tests.faults.cluster import CENTRALS, DEADLINE_S, TAKEOVER_S, Cluster, cluster_of
from tests.faults.system import SUMS, System, sums_of, traffic
from tests.stopping import frozen
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow]


@pytest.fixture(scope="module")
def before(system: System) -> dict[str, int]:
    """What both centrals count of the files before this one."""

    def counted() -> list[dict[str, int] | None]:
        return [sums_of(system.ask(central, "/api/v1/totals")) for central in CENTRALS]

    wait_until(lambda: None not in (now := counted()) and now[0] == now[1], "equal", DEADLINE_S)
    (found, _) = counted()
    assert found is not None
    return found


@pytest.fixture(scope="module")
def cluster(system: System, before: dict[str, int]) -> Iterator[Cluster]:
    with (
        traffic(system, "--rate", "300", "--duration", "0") as sending,
        cluster_of(system, sending) as cluster,
    ):
        yield cluster


def test_a_killed_primary_is_replaced_at_once(cluster: Cluster) -> None:
    old = cluster.primary()
    new = CENTRALS[old]

    killed = cluster.kill(old)
    view = cluster.wait_taken_over(new)

    assert view["primary"] == new
    print(f"\n  killed: {view['last_takeover']}")
    assert view["last_takeover"]["reason"] == "seen dead"
    cluster.wait_standby(old)
    assert cluster.pid(old) not in (None, killed)
    assert cluster.system.status()["primary"] == new


def test_a_frozen_primary_is_replaced_and_comes_back_as_standby(cluster: Cluster) -> None:
    old = cluster.primary()
    new = CENTRALS[old]
    pid = cluster.pid(old)
    assert pid is not None

    with frozen([pid]):
        view = cluster.wait_taken_over(new)

    print(f"\n  frozen: {view['last_takeover']}")
    assert view["last_takeover"]["reason"] == "silent"
    epoch = view["epoch"]

    def returned() -> bool:
        assert not cluster.acts(old)
        answer = cluster.registry("/standby")
        return answer is not None and answer["nodes"][0]["name"] == old

    wait_until(returned, f"{old} is standby, and never acted again", DEADLINE_S)
    assert (cluster.view()["epoch"], cluster.acts(new), cluster.pid(old)) == (epoch, True, pid)


def test_a_role_is_handed_over_and_back(cluster: Cluster) -> None:
    old = cluster.primary()
    new = CENTRALS[old]

    handed = cluster.steadflow("switchover", new)
    print(f"\n  switchover: {handed}")
    assert (handed["from"], handed["to"]) == (old, new)
    assert cluster.wait_taken_over(new)["epoch"] == handed["epoch"]
    cluster.wait_standby(old)

    # To the best one; asked of a central, which passes it on.
    back = cluster.steadflow("switchover", "--url", cluster.url(old))
    assert back["to"] == old
    cluster.wait_taken_over(old)


def test_what_cannot_be_is_refused_in_a_sentence(cluster: Cluster) -> None:
    primary = cluster.primary()
    epoch = cluster.view()["epoch"]

    assert "there is no node nobody" in cluster.steadflow("switchover", "nobody", code=1)
    assert f"{primary} is the primary" in cluster.steadflow("switchover", primary, code=1)
    assert "the primary lives" in cluster.steadflow("failover", code=1)

    assert cluster.view()["epoch"] == epoch


def test_nobody_takes_over_while_paused(cluster: Cluster) -> None:
    old = cluster.primary()
    assert cluster.steadflow("pause") == {"paused": True}
    epoch = cluster.view()["epoch"]

    killed = cluster.kill(old)
    wait_until(lambda: cluster.view()["primary"] is None, "nobody is primary", DEADLINE_S)
    wait_until(lambda: cluster.pid(old) not in (None, killed), "it is started again", DEADLINE_S)
    cluster.wait_ticks(10)
    wait_until(lambda: cluster.registry("/standby") is not None, "one could", DEADLINE_S)
    assert cluster.view()["epoch"] == epoch
    assert cluster.steadflow("cluster")["paused"]

    assert cluster.steadflow("resume") == {"paused": False}
    wait_until(lambda: any(map(cluster.acts, CENTRALS)), "somebody acts", TAKEOVER_S)
    assert cluster.view()["last_takeover"]["reason"] == "seen dead"


def test_a_setting_asked_of_the_standby_holds_on_both(cluster: Cluster) -> None:
    standby = CENTRALS[cluster.primary()]
    token = read_token(cluster.system.home / "token")

    answer = httpx.put(
        f"{cluster.url(standby)}/api/v1/settings/exporters/192.0.2.7",
        json={"name": "edge"},
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
        trust_env=False,
    )

    assert answer.status_code == 200, answer.text
    named = {"exporter": "192.0.2.7", "name": "edge"}

    def hold() -> bool:
        found = [cluster.get(cluster.url(central) + "/api/v1/settings") for central in CENTRALS]
        return all(each is not None and named in each["exporters"] for each in found)

    wait_until(hold, "both name the exporter", DEADLINE_S)


def test_after_all_this_both_count_what_was_sent_and_the_history_is_whole(
    cluster: Cluster, before: dict[str, int]
) -> None:
    sent = cluster.stop_sending()
    cluster.wait_counted({name: before[name] + sent[name] for name in SUMS})

    told = cluster.steadflow("history", "--verify")
    assert told["problems"] == []
    epochs = [entry["offset"] for entry in told["entries"] if entry["is"] == "claim"]
    assert epochs == sorted(set(epochs))
    acted = [entry["offset"] for entry in told["entries"] if entry["is"] == "acts"]
    assert set(acted) <= set(epochs)
    assert acted[-1] == cluster.view()["epoch"]

"""The primary dies, falls silent, hands over: another one acts, and the numbers stay the same."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from cli import running as home_of
from cli.__main__ import app
from cli.cluster_client import ClusterClient, urls_of
from shared.token import read_token
from tests.faults.system import System, kill, running, traffic
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow]

CENTRALS = {"central-a": "central-b", "central-b": "central-a"}
"""Each central and the other one."""
DEADLINE_S = 180
TAKEOVER_S = 30
SUMS = ("flows", "bytes", "packets")


@dataclass
class Cluster:
    """A running system that counts traffic, asked without waiting for anybody that is frozen."""

    system: System
    sending: "subprocess.Popen[str]"

    def view(self) -> dict[str, Any]:
        with ClusterClient(urls_of(self.system.home), timeout_s=2.0) as client:
            return client.view()

    def registry(self, path: str) -> Any:
        """Return the registry's JSON answer, None when it says no."""
        return get(self.noted("registries")[0]["url"] + path)

    def ticks(self) -> float:
        """Return how many valid ticks there were."""
        page = httpx.get(self.noted("registries")[0]["url"] + "/metrics", trust_env=False).text
        found = re.search(r"^steadflow_registry_valid_ticks (\S+)", page, re.MULTILINE)
        assert found is not None
        return float(found[1])

    def noted(self, kind: str) -> list[dict[str, Any]]:
        """Return what the launcher noted: names, URLs, pids."""
        return list((home_of.read(self.system.home) or {})[kind])

    def url(self, central: str) -> str:
        return next(str(each["url"]) for each in self.noted("centrals") if each["name"] == central)

    def pid(self, central: str) -> int | None:
        pids = {each["name"]: each["pid"] for each in self.noted("centrals")}
        return None if pids[central] is None else int(pids[central])

    def acts(self, central: str) -> bool:
        """Whether a central says of itself that it acts."""
        return get(self.url(central) + "/primary") is not None

    def primary(self) -> str:
        """Return who acts, once somebody does and the other one could take over."""
        wait_until(
            lambda: any(map(self.acts, CENTRALS)) and self.registry("/standby") is not None,
            "one acts, the other one could",
            DEADLINE_S,
        )
        return next(central for central in CENTRALS if self.acts(central))

    def wait_taken_over(self, central: str) -> dict[str, Any]:
        """Return the view once `central` acts, and collectors know it."""
        wait_until(lambda: self.acts(central), f"{central} acts", TAKEOVER_S)
        wait_until(lambda: self.known_to_collector() == central, "the collector knows", TAKEOVER_S)
        return self.view()

    def known_to_collector(self) -> str | None:
        facts = get(self.noted("collectors")[0]["url"] + "/api/v1/status")
        primary = None if facts is None else facts["primary"]
        return None if primary is None else str(primary["node"])

    def wait_standby(self, central: str) -> None:
        def stands_by() -> bool:
            answer = self.registry("/standby")
            return answer is not None and answer["nodes"][0]["name"] == central

        wait_until(stands_by, f"{central} is back as standby", DEADLINE_S)
        assert not self.acts(central)

    def kill(self, central: str) -> int:
        pid = self.pid(central)
        assert pid is not None
        kill(pid)
        return pid

    def steadflow(self, *words: str, code: int = 0) -> Any:
        """Run a command in this process; its JSON, or the sentence when it fails."""
        done = CliRunner().invoke(app, [*words, "--home", str(self.system.home), "--json"])
        assert done.exit_code == code, done.output
        return done.stderr if code else json.loads(done.stdout)

    def totals(self) -> list[dict[str, int] | None]:
        answers = [get(self.url(central) + "/api/v1/totals") for central in CENTRALS]
        return [None if each is None else {name: each[name] for name in SUMS} for each in answers]


def get(url: str) -> Any:
    """Return a JSON answer; None without one, or when it is no."""
    try:
        answer = httpx.get(url, timeout=2, trust_env=False)
    except httpx.HTTPError:
        return None
    return answer.json() if answer.status_code == 200 else None


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with (
        running(tmp_path_factory.mktemp("takeover") / "home") as system,
        traffic(system, "--rate", "300", "--duration", "0") as sending,
    ):
        yield Cluster(system, sending)


def test_a_killed_primary_is_replaced_at_once(cluster: Cluster) -> None:
    old = cluster.primary()
    new = CENTRALS[old]

    killed = cluster.kill(old)
    view = cluster.wait_taken_over(new)

    assert view["primary"] == new
    print(f"\n  killed: {view['last_takeover']}")
    assert view["last_takeover"]["reason"] == "seen dead"
    assert view["last_takeover"]["seconds"] < 5
    cluster.wait_standby(old)
    assert cluster.pid(old) not in (None, killed)
    assert cluster.system.status()["primary"] == new


def test_a_frozen_primary_is_replaced_and_comes_back_as_standby(cluster: Cluster) -> None:
    old = cluster.primary()
    new = CENTRALS[old]
    pid = cluster.pid(old)
    assert pid is not None

    kill(pid, signal.SIGSTOP)
    try:
        view = cluster.wait_taken_over(new)
    finally:
        kill(pid, signal.SIGCONT)

    print(f"\n  frozen: {view['last_takeover']}")
    assert view["last_takeover"]["reason"] == "silent"
    assert view["last_takeover"]["seconds"] < 10
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
    ticks = cluster.ticks()
    wait_until(
        lambda: cluster.ticks() >= ticks + 10 and cluster.registry("/standby") is not None,
        "one could, for longer than silence would take",
        DEADLINE_S,
    )
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
        found = [get(cluster.url(central) + "/api/v1/settings") for central in CENTRALS]
        return all(each is not None and named in each["exporters"] for each in found)

    wait_until(hold, "both name the exporter", DEADLINE_S)


def test_after_all_this_both_count_what_was_sent_and_the_history_is_whole(
    cluster: Cluster,
) -> None:
    cluster.sending.send_signal(signal.SIGTERM)
    facts = json.loads(cluster.sending.communicate(timeout=60)[0])
    sent = {name: facts[name] for name in SUMS}

    wait_until(lambda: cluster.totals() == [sent, sent], "both count what was sent", 120)

    told = cluster.steadflow("history", "--verify")
    assert told["problems"] == []
    epochs = [entry["offset"] for entry in told["entries"] if entry["is"] == "claim"]
    assert epochs == sorted(set(epochs))
    acted = [entry["offset"] for entry in told["entries"] if entry["is"] == "acts"]
    assert set(acted) <= set(epochs)
    assert acted[-1] == cluster.view()["epoch"]

"""A drill over a cluster that only answers: what it waits for, and that it sees what is wrong."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from shared import drill_run
from shared.drill import Drill, DrillError, Kind, Verdict, checks, decode_drill, verdict
from shared.drill_run import SETTLE_MS, DrillCluster, kind_problem, run_drill
from shared.roles.history import Tail, chained

START_MS = 1_772_461_800_000
BEGUN = Drill("00c0ffee00c0ffee", Kind.SWITCHOVER, "a", START_MS)


@dataclass
class Cluster:
    """Two centrals; `b` is behind by `missing` flows, and Kafka's end moves while flows come."""

    missing: int = 0
    flows_come: bool = False
    refuses: bool = False
    is_chain_cut: bool = False
    now_ms: int = START_MS
    primary: str = "a"
    epoch: int = 7
    position: int = 0
    noted: list[Drill] = field(default_factory=list)
    entries: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._decide("a", "start", None)

    def clock(self) -> int:
        self.now_ms += 1_000
        return self.now_ms

    def client(self) -> DrillCluster:
        return DrillCluster(
            {"a": "http://a", "b": "http://b"},
            token="t",
            transport=httpx.MockTransport(self._answer),
        )

    async def run(self) -> Drill:
        async with self.client() as client:
            return await run_drill(BEGUN, client, client.switch_over, now_ms=self.clock)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == "Bearer t"
        if request.method == "PUT":
            self.noted.append(decode_drill(request.content))
            return httpx.Response(200, json={})
        if request.method == "POST":
            return self._switch_over()
        answer: Callable[[str], dict[str, Any]] = getattr(
            self, f"_{request.url.path.removeprefix('/api/v1/')}"
        )
        return httpx.Response(200, json=answer(request.url.host))

    def _switch_over(self) -> httpx.Response:
        if self.refuses:
            return httpx.Response(412, json={"detail": "nobody is a good candidate"})
        self.primary, self.epoch = "b", 9
        self._decide("b", "switchover", 0.2)
        if self.is_chain_cut:
            self.entries[-1]["before"] = "0" * 64
        return httpx.Response(200, json={"to": "b"})

    def _decide(self, primary: str, reason: str, took_s: float | None) -> None:
        tail = Tail(hash=self.entries[-1]["hash"]) if self.entries else Tail()
        entry = {
            "is": "acts", "generation": 1, "offset": self.epoch, "at_ms": self.now_ms,
            "primary": primary, "reason": reason, "took_s": took_s,
        }  # fmt: skip
        (value,), _ = chained([entry], tail)
        self.entries.append(json.loads(value))

    def _cluster(self, _host: str) -> dict[str, Any]:
        roles = {name: "primary" if name == self.primary else "standby" for name in "ab"}
        return {
            "epoch": self.epoch,
            "primary": self.primary,
            "nodes": [{"name": name, "role": role} for name, role in roles.items()],
            "last_takeover": {"epoch": self.epoch, "seconds": 0.2},
        }

    def _totals(self, host: str) -> dict[str, Any]:
        missing = self.missing if host == "b" else 0
        return {"flows": 100 - missing, "bytes": 5_000, "packets": 300}

    def _proof(self, _host: str) -> dict[str, Any]:
        return {"differences_total": 0}

    def _collectors(self, _host: str) -> dict[str, Any]:
        known = {"primary": self.primary, "epoch": self.epoch, "is_silent": False}
        silent = {"worker": "gone/0", "primary": "a", "epoch": 1, "is_silent": True}
        return {"rows": [{"worker": "c/0", **known}, silent]}

    def _history(self, _host: str) -> dict[str, Any]:
        return {"entries": self.entries}

    def _positions(self, _host: str) -> dict[str, Any]:
        self.position += self.flows_come
        return {"rows": [{"partition": 0, "next_offset": self.position}]}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drill_run, "PAUSE_S", 0.001)


async def test_a_switchover_that_loses_nothing_passes_and_is_noted() -> None:
    cluster = Cluster()

    drill = await cluster.run()

    assert verdict(drill, cluster.now_ms) is Verdict.PASSED, checks(drill)
    assert (drill.rto_s, drill.lost) == (0.2, 0)
    assert cluster.noted == [drill]


async def test_with_flows_coming_it_waits_until_the_range_is_over() -> None:
    cluster = Cluster(flows_come=True)

    drill = await cluster.run()

    assert verdict(drill, cluster.now_ms) is Verdict.PASSED
    assert drill.ended_ms > drill.to_ms


async def test_flows_that_never_come_are_found() -> None:
    cluster = Cluster(missing=3)

    drill = await cluster.run()

    assert verdict(drill, cluster.now_ms) is Verdict.FAILED
    assert drill.lost == 3
    assert drill.ended_ms - START_MS > SETTLE_MS


async def test_a_history_that_was_changed_is_found() -> None:
    drill = await Cluster(is_chain_cut=True).run()

    assert [each.promise for each in checks(drill) if not each.is_kept] == ["The history is whole"]


async def test_a_refused_switchover_ends_the_drill_with_its_reason() -> None:
    cluster = Cluster(refuses=True)

    drill = await cluster.run()

    assert drill.error == "nobody is a good candidate"
    assert verdict(drill, cluster.now_ms) is Verdict.FAILED
    assert cluster.noted == [drill]


async def test_one_that_may_not_begin_says_why() -> None:
    def refuse(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(409, json={"detail": "another drill runs"})

    client = DrillCluster({"a": "http://a"}, token="t", transport=httpx.MockTransport(refuse))
    async with client:
        with pytest.raises(DrillError, match="another drill runs"):
            await client.note(BEGUN)


def test_a_cluster_in_no_state_for_a_drill_is_left_alone() -> None:
    standby = {"role": "standby", "problem": ""}
    view = {"primary": "a", "paused": False, "nodes": [standby]}

    assert kind_problem(view, Kind.KILL) == ""
    assert kind_problem({**view, "primary": None}, Kind.SWITCHOVER) == "nobody is primary"
    assert "paused" in kind_problem({**view, "paused": True}, Kind.KILL)
    assert kind_problem({**view, "paused": True}, Kind.SWITCHOVER) == ""
    late = {**view, "nodes": [{**standby, "problem": "lags"}]}
    assert kind_problem(late, Kind.SWITCHOVER) == "nobody could take over"

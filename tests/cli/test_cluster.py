import io
import json
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from cli.__main__ import app
from cli.cluster import age, broker_notes, doubt, failover, last_takeover, notes, told
from cli.cluster_client import ClusterClient, ClusterError
from cli.ports import free_port
from shared.roles.history import Tail, chained, read_entry
from shared.token import make_token
from tests.cli.fake_node import FakeNode

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
TAKEOVER = {
    "epoch": 40,
    "reason": "seen dead",
    "seconds": 0.21,
    "at": (NOW - timedelta(minutes=2)).isoformat(),
}


def node(name: str, role: str, problem: str = "") -> dict[str, Any]:
    return {
        "name": name,
        "role": role,
        "url": f"http://{name}",
        "lag_records": 3,
        "lag_s": 0.4,
        "problem": problem,
    }


def view(**changed: Any) -> dict[str, Any]:  # JSON
    return {
        "epoch": 40,
        "standing": "the primary lives",
        "primary": "central-b",
        "since": TAKEOVER["at"],
        "paused": False,
        "nodes": [node("central-a", "standby"), node("central-b", "primary")],
        "last_takeover": TAKEOVER,
        "alarms": [],
    } | changed


@pytest.fixture
def member() -> Iterator[FakeNode]:
    server = FakeNode()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    make_token(tmp_path / "token")
    return tmp_path


def steadflow(member: FakeNode, home: Path, *words: str) -> Result:
    return CliRunner().invoke(
        app, [*words, "--url", member.url, "--home", str(home)], env={"COLUMNS": "120"}
    )


def test_the_cluster_is_shown_with_its_last_takeover(member: FakeNode, home: Path) -> None:
    member.answers["GET /api/v1/cluster"] = (200, view(alarms=["something is wrong"]))

    done = steadflow(member, home, "cluster")

    assert done.exit_code == 0, done.output
    assert "central-b is primary since" in done.stdout
    assert "0.4 s, 3 messages" in done.stdout
    assert "central-b took over" in done.stdout
    assert "alarm: something is wrong" in done.stdout

    facts = json.loads(steadflow(member, home, "cluster", "--json").stdout)
    assert [each["pid"] for each in facts["nodes"]] == [None, None]
    assert facts["last_takeover"] == TAKEOVER


def test_a_vacancy_and_a_pause_are_said_first(member: FakeNode, home: Path) -> None:
    member.answers["GET /api/v1/cluster"] = (
        200,
        view(primary=None, standing="the primary is dead", paused=True),
    )

    first = steadflow(member, home, "cluster").stdout.splitlines()[0]

    assert first == "nobody is primary: the primary is dead; paused: nobody is replaced by itself"


def test_the_last_takeover_names_who_took_over_as_long_as_it_is_known() -> None:
    assert last_takeover(view(), NOW) == (
        "central-b took over 2 min ago: seen dead; nobody acted for 0.21 s"
    )
    later = view(epoch=41)
    assert str(last_takeover(later, NOW)).startswith("a central took over 2 min ago")
    assert last_takeover(view(last_takeover=None), NOW) is None


def test_what_an_alarm_says_is_not_said_twice() -> None:
    nodes = [node("central-a", "dead", "central-a is dead"), node("central-b", "primary")]

    assert notes(view(nodes=nodes, last_takeover=None), NOW) == ["central-a is dead"]
    alarm = "nobody could take over: central-a is dead"
    assert notes(view(nodes=nodes, last_takeover=None, alarms=[alarm]), NOW) == [f"alarm: {alarm}"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (2e5, "2 days")],
)
def test_durations_are_said_in_one_unit(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_kafkas_machines_are_told_with_their_disks_and_a_kafka_outside_with_its_risks() -> None:
    machine = {
        "machine": "m1", "in_sync": 11, "votes": True, "leads": ["ha.log", "flows"],
        "is_alive": True, "log_bytes": 2_000_000, "disk_free_bytes": 7_000_000_000,
    }  # fmt: skip
    other = {"machine": "m2", "log_bytes": None, "is_alive": False, "site": "fra"}
    brokers = {
        "machines": [machine, machine | other],
        "partitions": 11, "owed": "copies are made", "problem": "", "survives": ["all"],
    }  # fmt: skip
    assert broker_notes(brokers) == [
        "log: m1 has 11 of 11 partitions (2.0 MB, 7.0 GB free), votes, leads ha.log",
        "log: m2 (fra) has 11 of 11 partitions, votes, leads ha.log, does not answer",
        "next: copies are made",
        "all",
    ]
    outside = {
        "machines": [], "owed": None, "problem": "", "survives": ["short"], "risks": ["one copy"],
    }  # fmt: skip
    assert broker_notes(outside) == ["your Kafka: one copy", "short"]


def test_a_registry_is_asked_with_the_token(member: FakeNode, home: Path) -> None:
    answer = {"from": "central-a", "to": "central-b", "epoch": 41, "seconds": 0.123}
    member.answers["POST /switchover"] = (200, answer)

    done = steadflow(member, home, "switchover", "central-b")

    assert done.stdout == ("central-b is primary after 0.12 s, epoch 41; before it was central-a\n")
    token = (home / "token").read_text().strip()
    assert member.asked == [("POST /switchover", f"Bearer {token}", {"to": "central-b"})]
    assert token not in done.output


UNPROVEN = "central-c cannot do its work, or is not proven equal yet"
TAKEN = {
    "from": "central-a", "to": "central-c", "epoch": 41, "seconds": 0.123,
    "warning": "central-c was taken although it cannot do its work, or is not proven equal yet",
}  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_a_doubtful_one_is_taken_with_a_warning(
    member: FakeNode, home: Path
) -> None:
    member.answers["POST /failover"] = (200, TAKEN)

    done = steadflow(member, home, "failover", "central-c")
    facts = steadflow(member, home, "failover", "central-c", "--json")

    said = f"warning: {TAKEN['warning']}\n"
    assert (done.exit_code, done.stderr, facts.stderr) == (0, said, said)
    assert done.stdout == "central-c is primary after 0.12 s, epoch 41; before it was central-a\n"
    assert json.loads(facts.stdout) == TAKEN
    assert [asked for asked, *_ in member.asked] == ["POST /failover"] * 2


def test_a_registry_that_warns_of_nothing_is_no_warning(member: FakeNode, home: Path) -> None:
    of_before = {name: value for name, value in TAKEN.items() if name != "warning"}
    for answer in (of_before, {**TAKEN, "warning": ""}):
        member.answers["POST /failover"] = (200, answer)
        assert steadflow(member, home, "failover", "central-c").stderr == ""


@pytest.mark.parametrize(
    ("typed", "named", "yes", "is_asked", "is_taken"),
    [
        ("y\n", "central-c", False, True, True),
        ("n\n", "central-c", False, True, False),
        ("", "central-c", True, False, True),
        ("", "central-b", False, False, True),
        ("", "", False, False, True),
    ],
)
def test_on_a_terminal_a_doubtful_one_is_asked_about(
    typed: str,
    named: str,
    yes: bool,
    is_asked: bool,
    is_taken: bool,
    member: FakeNode,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    good = node("central-b", "standby")
    doubtful = node("central-c", "standby", UNPROVEN)
    member.answers["GET /api/v1/cluster"] = (200, view(nodes=[good, doubtful]))
    member.answers["POST /failover"] = (200, {**TAKEN, "warning": ""})
    monkeypatch.setattr(sys, "stdin", Terminal(typed))

    if is_taken:
        failover(named, home=home, url=member.url, yes=yes)
    else:
        with pytest.raises(typer.Abort):
            failover(named, home=home, url=member.url, yes=yes)

    assert (f"{UNPROVEN}. Take it all the same?" in capsys.readouterr().err) is is_asked
    assert ("POST /failover" in [asked for asked, *_ in member.asked]) is is_taken


def test_whom_the_registry_refuses_anyway_nobody_is_asked_about() -> None:
    nodes = [node("a", "dead", "a is dead"), node("b", "primary"), node("c", "standby", "lags")]

    found = [doubt(view(nodes=nodes), name) for name in ("a", "b", "c", "nowhere")]
    assert found == ["", "", "lags", ""]


def test_a_central_passes_on_what_only_a_registry_may_do(member: FakeNode, home: Path) -> None:
    member.answers["POST /api/v1/cluster/pause"] = (200, {"paused": True})

    done = steadflow(member, home, "pause")

    assert done.stdout.startswith("paused: ")
    assert [asked for asked, *_ in member.asked] == ["POST /pause", "POST /api/v1/cluster/pause"]


@pytest.mark.parametrize("status", [403, 412, 503, 504])
def test_a_refusal_is_one_sentence(member: FakeNode, home: Path, status: int) -> None:
    member.answers["POST /failover"] = (status, {"title": "No", "detail": "it cannot be now"})

    done = steadflow(member, home, "failover")

    assert (done.exit_code, done.stdout, done.stderr) == (1, "", "it cannot be now\n")


def test_the_next_one_is_asked_where_one_is_away(member: FakeNode) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    member.answers["GET /api/v1/cluster"] = (200, view())
    member.answers["POST /resume"] = (200, {"paused": False})

    with ClusterClient([away, member.url], token="some") as client:
        assert client.view() == view()
        assert client.change("resume") == {"paused": False}
        assert len(member.asked) == 2
    with (
        ClusterClient([away], token="some") as client,
        pytest.raises(ClusterError, match="does not answer"),
    ):
        client.change("resume")


def test_who_is_no_member_is_told_so(member: FakeNode, home: Path) -> None:
    done = steadflow(member, home, "resume")

    assert done.exit_code == 1
    assert done.stderr == f"{member.url} is neither a registry nor a central\n"


def entries() -> list[dict[str, Any]]:
    place = {"generation": 1, "at_ms": 1_770_000_000_000}
    decisions: list[dict[str, Any]] = [
        {**place, "offset": 0, "is": "config", "is_paused": False, "dead_ticks": 7,
         "period_ms": 400, "by": "registry-1"},
        {**place, "offset": 7, "is": "claim", "incarnation": "central-a/1", "reason": "start"},
        {**place, "offset": 7, "is": "acts", "primary": "central-a", "reason": "start",
         "took_s": None},
        {**place, "offset": 30, "is": "death", "incarnation": "central-a/1", "seen_by": "up"},
        {**place, "offset": 40, "is": "acts", "primary": "central-b", "reason": "seen dead",
         "took_s": 0.21},
        {**place, "offset": 50, "is": "request", "to": "", "by": "registry-1"},
        {**place, "offset": 51, "is": "handover", "incarnation": "central-b/1",
         "to": "central-a/2"},
        {**place, "offset": 60, "is": "of a later release"},
    ]  # fmt: skip
    values, _ = chained(decisions, Tail())
    return [dict(read_entry(value)) for value in values]


def test_every_kind_of_decision_is_told() -> None:
    assert [told(entry) for entry in entries()] == [
        ("policy: not paused, dead after 7 ticks of 400 ms", "registry-1", ""),
        ("claim: start", "central-a/1", "7"),
        ("acts: start", "central-a", "7"),
        ("seen to end by up", "central-a/1", ""),
        ("acts: seen dead, nobody acted for 0.21 s", "central-b", "40"),
        ("switchover asked of registry-1", "the best", ""),
        ("hands over to central-a/2", "central-b/1", ""),
        ("of a later release", "", ""),
    ]


def test_a_history_is_verified(member: FakeNode, home: Path) -> None:
    member.answers["GET /history"] = (200, {"entries": entries(), "problems": []})

    done = steadflow(member, home, "history", "--verify")

    assert done.exit_code == 0, done.output
    assert "verified: 8 entries" in done.stdout


def test_a_changed_history_is_found(member: FakeNode, home: Path) -> None:
    changed = entries()
    changed[3]["incarnation"] = "central-b/1"
    del changed[5]
    member.answers["GET /history"] = (200, {"entries": changed, "problems": []})

    done = steadflow(member, home, "history", "--verify")
    facts = json.loads(steadflow(member, home, "history", "--verify", "--json").stdout)

    assert done.exit_code == 1
    assert done.stderr == "the history was changed: entry 4 was changed, and 1 more\n"
    assert facts["problems"] == ["entry 4 was changed", "entry 6 does not follow the one before it"]
    assert steadflow(member, home, "history").exit_code == 0


def test_where_nothing_runs_nobody_is_asked(tmp_path: Path) -> None:
    make_token(tmp_path / "token")
    for command in ("cluster", "history", "pause"):
        done = CliRunner().invoke(app, [command, "--home", str(tmp_path)])
        assert (done.exit_code, done.stderr) == (3, f"nothing runs in {tmp_path}\n")

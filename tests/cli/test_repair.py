"""`steadflow standby`: whom it asks, what it waits for, what it says."""

import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli import repair
from cli.__main__ import app
from cli.repair import UNTOLD, chosen, ended_of
from shared.token import make_token
from tests.cli.fake_node import FakeNode

STARTS_AT = "2026-03-02T14:30:00.000Z"
PLACE = {"stream": "00c0ffee00c0ffee", "level": "minute", "starts_at": STARTS_AT}
NOTED = {**PLACE, "number": 3, "noted_at": STARTS_AT, "finished_at": None, "outcome": ""}
OUTCOME = "12 rows written again from the log"
ENDED = {**NOTED, "number": 4, "finished_at": STARTS_AT, "outcome": OUTCOME}
EARLIER = {**ENDED, "number": 2, "outcome": "an earlier one"}


def proof(repairs: list[Any], under_repair: Sequence[Any] = ()) -> dict[str, Any]:
    return {"repairs": repairs, "under_repair": list(under_repair)}


@pytest.fixture
def member() -> Iterator[FakeNode]:
    server = FakeNode()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    nodes = [
        {"name": "central-a", "role": "primary", "url": server.url},
        {"name": "central-b", "role": "standby", "url": server.url},
    ]
    server.answers["GET /api/v1/cluster"] = (200, {"nodes": nodes})
    server.answers["POST /api/v1/proof/repair"] = (202, {"rows": [NOTED]})
    server.answers["GET /api/v1/proof"] = (200, proof([ENDED, EARLIER]))
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
        app, ["standby", "repair", *words, "--url", member.url, "--home", str(home)]
    )


def test_the_standby_is_mended_and_its_outcome_is_said(member: FakeNode, home: Path) -> None:
    done = steadflow(member, home)

    said = f"central-b: minute {STARTS_AT} of stream 00c0ffee00c0ffee: {OUTCOME}\n"
    assert (done.exit_code, done.output) == (0, said)
    token = (home / "token").read_text().strip()
    assert ("POST /api/v1/proof/repair", f"Bearer {token}", {}) in member.asked
    assert token not in done.output


def test_the_primary_and_a_single_minute_are_asked_for_by_name(
    member: FakeNode, home: Path
) -> None:
    words = ("--primary", "--stream", "00c0ffee00c0ffee", "--minute", "2026-03-02T14:30:00Z")
    done = steadflow(member, home, *words, "--json")

    (row,) = json.loads(done.stdout)["rows"]
    assert (row["central"], row["outcome"]) == ("central-a", OUTCOME)
    bodies = [body for asked, _, body in member.asked if asked.startswith("POST")]
    assert bodies == [{"stream": "00c0ffee00c0ffee", "minute": "2026-03-02T14:30:00Z"}]


def test_it_waits_until_the_repair_has_ended(
    member: FakeNode, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    member.answers["GET /api/v1/proof"] = (200, proof([NOTED, EARLIER]))
    waited: list[float] = []

    def ends(duration_s: float) -> None:
        waited.append(duration_s)
        member.answers["GET /api/v1/proof"] = (200, proof([ENDED, EARLIER]))

    monkeypatch.setattr("cli.repair.time.sleep", ends)
    done = steadflow(member, home)

    assert waited == [repair.POLL_S]
    assert OUTCOME in done.output


def minutes(count: int) -> list[dict[str, Any]]:
    """Return as many repairs as they were noted, the oldest first."""
    places = [
        {**PLACE, "starts_at": f"2026-03-02T{n // 60:02}:{n % 60:02}:00.000Z"} for n in range(count)
    ]
    return [{**NOTED, **place, "number": n} for n, place in enumerate(places, start=1)]


def test_of_more_than_are_shown_it_ends_and_says_of_each_how(member: FakeNode, home: Path) -> None:
    noted = minutes(101)
    member.answers["POST /api/v1/proof/repair"] = (202, {"rows": noted})
    ended = [{**row, "finished_at": STARTS_AT, "outcome": OUTCOME} for row in reversed(noted)]
    member.answers["GET /api/v1/proof"] = (200, proof(ended))
    done = steadflow(member, home)
    assert (done.exit_code, done.output.count(OUTCOME)) == (0, 101)
    assert ("GET /api/v1/proof?since=1") in [asked for asked, _, _ in member.asked]

    # An older central shows the newest 100 all the same.
    member.answers["GET /api/v1/proof"] = (200, proof(ended[:100]))
    done = steadflow(member, home)
    assert (done.exit_code, done.output.count(OUTCOME)) == (1, 100)
    assert f"minute {noted[0]['starts_at']} of stream 00c0ffee00c0ffee: {UNTOLD}" in done.output


def test_what_is_not_shown_and_under_repair_has_not_ended() -> None:
    first, second, third = minutes(3)
    places = [(row["stream"], row["level"], row["starts_at"]) for row in (first, second, third)]
    waiting = dict(zip(places, (first, second, third), strict=True))
    before = {**first, "number": 0, "finished_at": STARTS_AT, "outcome": "an earlier one"}
    ended = {**third, "finished_at": STARTS_AT, "outcome": OUTCOME}
    assert ended_of(waiting, proof([ended, second, before], [first])) == [ended]
    (untold, told) = ended_of(waiting, proof([ended, second, before]))
    assert (untold["number"], untold["outcome"], told) == (1, UNTOLD, ended)


@pytest.mark.parametrize("outcome", ["refused: Kafka no longer holds it", "failed: something"])
def test_what_was_not_mended_is_an_error(member: FakeNode, home: Path, outcome: str) -> None:
    member.answers["GET /api/v1/proof"] = (200, proof([{**ENDED, "outcome": outcome}]))
    done = steadflow(member, home)
    assert done.exit_code == 1
    assert outcome in done.output


def test_a_refusal_is_one_sentence(member: FakeNode, home: Path) -> None:
    detail = "what differs is wrong on central-a, and can be repaired only there"
    member.answers["POST /api/v1/proof/repair"] = (409, {"detail": detail})
    done = steadflow(member, home)
    assert (done.exit_code, done.stderr) == (1, f"{detail}\n")


@pytest.mark.parametrize(
    ("nodes", "words", "sentence"),
    [
        ([], (), "no central is a standby now"),
        ([], ("--primary",), "no central is the primary now"),
        (None, ("--stream", "00"), "--stream and --minute go together"),
    ],
)
def test_nobody_to_ask_is_one_sentence(
    member: FakeNode, home: Path, nodes: Any, words: tuple[str, ...], sentence: str
) -> None:
    if nodes is not None:
        member.answers["GET /api/v1/cluster"] = (200, {"nodes": nodes})
    done = steadflow(member, home, *words)
    assert (done.exit_code, done.stderr) == (1, f"{sentence}\n")


def test_every_standby_is_mended() -> None:
    roles = [("a", "primary"), ("b", "standby"), ("c", "standby"), ("d", "dead")]
    nodes = [{"name": name, "role": role, "url": f"http://{name}"} for name, role in roles]
    assert chosen(nodes, primary=False) == ["b", "c"]
    assert chosen(nodes, primary=True) == ["a"]

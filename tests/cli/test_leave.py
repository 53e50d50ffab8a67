"""What a machine that joined keeps of itself, what it removes, and who would be cut off."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli.disable import joined, others_voting
from cli.leave import is_needed
from cli.standby_home import (
    NoStandby,
    StandbyHome,
    centrals_told,
    read_standby,
    remove_data,
    write_standby,
)
from cli.status import told

STANDBY = StandbyHome("central-c", "https://a:8443", ("c.example", "192.0.2.7"), 8443, 5, 19_094)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of a machine that joined."""
    home = tmp_path / "standby"
    for folder in ("tls", "logs", "central-c/store", "kafka/data"):
        (home / folder).mkdir(parents=True)
        (home / folder / "x").touch()
    for file in ("token", "join.json", "brokers", "lock"):
        (home / file).touch()
    (home / "given.json").write_text(json.dumps({"centrals": ["https://a:8443"]}))
    write_standby(home, STANDBY)
    return home


def test_what_was_kept_is_read_back(home: Path) -> None:
    assert read_standby(home) == STANDBY
    assert centrals_told(home) == ["https://a:8443"]


def test_who_did_not_join_is_told_so(home: Path, tmp_path: Path) -> None:
    with pytest.raises(NoStandby, match="no machine joined"):
        read_standby(tmp_path / "nowhere")
    (home / "given.json").unlink()
    with pytest.raises(NoStandby, match="did not join yet"):
        read_standby(home)
    (home / "standby.json").write_text("{")
    with pytest.raises(NoStandby, match="cannot be read"):
        read_standby(home)


def test_all_that_a_join_made_is_removed(home: Path) -> None:
    remove_data(home, "central-c")

    assert not home.exists()


def test_what_somebody_else_put_there_stays(home: Path) -> None:
    (home / "notes.txt").touch()

    remove_data(home, "central-c")

    assert [each.name for each in home.iterdir()] == ["notes.txt"]


def test_who_would_be_cut_off() -> None:
    ours = {"central-a", "central-b"}
    nodes = [{"name": name} for name in ("central-a", "central-c")]
    invites: list[dict[str, Any]] = [{"used_by": None}, {"used_by": "collector-9"}]

    assert joined(nodes, invites, ours=ours) == ["central-c", "collector-9"]
    assert joined(nodes[:1], invites[:1], ours=ours) == []


def test_while_others_vote_nothing_is_closed() -> None:
    def machine(number: int, name: str, *, votes: bool) -> dict[str, Any]:
        return {"number": number, "machine": name, "votes": votes}

    here, observer = machine(1, "one", votes=True), machine(7, "two", votes=False)
    assert others_voting([here, observer]) == []
    assert others_voting([here, observer | {"votes": True}, machine(9, "w", votes=True)]) == [
        "two", "w",
    ]  # fmt: skip
    # Not even where this machine is the one that does not.
    assert others_voting([here | {"votes": False}, observer | {"votes": True}]) == ["two"]


def test_whether_vote_and_copies_have_to_be_given_back_before_one_stops() -> None:
    one, two = ({"machine": name, "votes": True, "copies": 3} for name in ("one", "two"))
    assert is_needed([], "two") is None
    assert is_needed([two], "two") is False
    assert is_needed([one, two], "two") is True
    # Without a vote its copies may be the only ones that are whole.
    assert is_needed([one, two | {"votes": False}], "two") is True
    assert is_needed([one, two | {"votes": False, "copies": 0}], "two") is False


def test_status_tells_what_is_not_green_with_its_remedy() -> None:
    def line(light: str) -> dict[str, str]:
        return {"check": light, "light": light, "found": "found", "remedy": "mend it"}

    join: dict[str, Any] = {
        "name": "central-c", "says": "hot standby", "again": "", "problem": "the primary is away",
        "lines": [line("green"), line("amber"), line("red")],
    }  # fmt: skip

    assert told(join) == [
        "central-c: hot standby",
        "  the primary is away",
        "  amber: amber: found (mend it)",
        "  red: red: found (mend it)",
    ]

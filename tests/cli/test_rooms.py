"""A command imports what it needs itself, and not what the others need."""

import subprocess
import sys
from typing import Any

import pytest
from typer.main import get_command

from cli.__main__ import app
from cli.rooms import group

HEAVY = ("aiokafka", "numpy", "pydantic_settings")
PROGRAM = """
import sys
from cli.__main__ import app
app(sys.argv[1:], standalone_mode=False)
print(*sorted(sys.modules))
"""


def imported_by(*words: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("words", ["status", "cluster", "switchover", "standby invite"])
def test_who_asks_does_not_wait_for_what_starts(words: str) -> None:
    assert not imported_by(*words.split(), "--help") & set(HEAVY)


def test_who_starts_imports_it() -> None:
    """Negative control."""
    assert imported_by("up", "--help") >= {"aiokafka", "pydantic_settings"}


def test_a_command_without_a_room_is_none() -> None:
    command: Any = get_command(group("some", "Some.", {"one": "cli.status:status"}))
    assert (list(command.commands), "two" in command.commands) == (["one"], False)
    assert command.commands.get("two") is None


def test_a_group_of_groups_has_their_commands() -> None:
    command: Any = get_command(app)
    assert {"enable", "join", "leave"} <= set(command.commands["standby"].commands)
    assert command.commands["standby"].name == "standby"

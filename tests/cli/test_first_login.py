"""The first password is shown once, to a person alone."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from cli import first_login
from cli.client import AskError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Home:
    """A system as its owner asks it: has nobody a password, does a primary take one?"""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, refusals: int = 0) -> None:
        self.passwords: dict[str, str] = {}
        self.refusals = refusals
        self.said: list[str] = []
        monkeypatch.setattr(first_login, "has_accounts", lambda home: bool(self.passwords))
        monkeypatch.setattr(first_login, "set_password", self._set)
        monkeypatch.setattr(first_login, "_AGAIN_S", 0.0)

    def _set(self, home: Path, name: str, chosen: str) -> Any:
        if self.refusals:
            self.refusals -= 1
            raise AskError("there is no primary")
        self.passwords[name] = chosen

    def say(self) -> str:
        first_login.say_first_password(Path("/home"), self.said.append)
        return " ".join(self.said)


def test_on_a_terminal_it_is_made_and_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    home = Home(monkeypatch, refusals=3)

    said = home.say()

    assert home.passwords["admin"] in said
    assert len(home.passwords["admin"]) >= 20
    assert home.say() == said


def test_what_is_no_terminal_is_told_how_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    home = Home(monkeypatch)

    assert "steadflow user password" in home.say()
    assert home.passwords == {}


def test_a_file_with_the_password_is_left_to_the_centrals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("STEADFLOW_CENTRAL_ADMIN_PASSWORD_FILE", "/run/steadflow/admin-password")
    home = Home(monkeypatch)

    assert home.say() == ""
    assert home.passwords == {}

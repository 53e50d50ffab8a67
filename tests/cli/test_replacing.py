"""Who takes the place of another machine is asked, once."""

import pytest
import typer

from cli.replacing import confirm


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    questions: list[str] = []

    def answer(question: str, *, abort: bool) -> bool:
        questions.append(question)
        return abort

    monkeypatch.setattr(typer, "confirm", answer)
    return questions


def test_a_person_is_asked_and_named_what_is_lost(asked: list[str]) -> None:
    confirm("witness-1", yes=False, token="sf1.x")
    assert len(asked) == 1
    assert asked[0].startswith("witness-1 loses its copy of the log, its vote")


@pytest.mark.parametrize(
    ("replaces", "yes", "token"), [("", False, "sf1.x"), ("w", True, "sf1.x"), ("w", False, "")]
)
def test_who_said_yes_or_replaces_nobody_is_not_asked(
    asked: list[str], replaces: str, *, yes: bool, token: str
) -> None:
    confirm(replaces, yes=yes, token=token)
    assert asked == []


def test_the_token_is_not_taken_for_the_answer(asked: list[str]) -> None:
    with pytest.raises(typer.Exit):
        confirm("witness-1", yes=False, token="-")
    assert asked == []

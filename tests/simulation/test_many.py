"""`make sim`: many schedules in processes of their own."""

import re

import pytest

from tests.simulation.__main__ import main


def test_all_seeds_are_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "30", "--first", "7", "--processes", "1"]) == 0

    first, *_, last = capsys.readouterr().out.splitlines()
    assert first == "30 schedules, seeds from 7"
    assert last.startswith("30 schedules in ")
    assert last.endswith(", 0 violations")


def test_a_violation_is_named_with_a_seed_that_shows_it_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--seeds", "250", "--first", "7", "--without", "outbox"]) == 1

    named = re.search(r"^seed (\d+): (effects twice: .*)$", capsys.readouterr().out, re.MULTILINE)
    assert named is not None
    assert main(["--seeds", "1", "--first", named[1], "--without", "outbox"]) == 1
    assert f"seed {named[1]}: {named[2]}\n" in capsys.readouterr().out

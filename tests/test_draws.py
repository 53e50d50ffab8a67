"""What a run draws: the same in all its workers, and over runs everything."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import draws

ROOT = Path(__file__).parents[1]


def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Fifty runs, each of another seed, that draw."""
    monkeypatch.setattr(draws, "ALL", False)
    for seed in range(50):
        monkeypatch.setattr(draws, "SEED", str(seed))
        yield seed


def test_some_are_drawn_in_their_order_and_the_same_for_one_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: set[int] = set()
    for _ in runs(monkeypatch):
        found = draws.some(range(10), 3, "cases")
        assert found == sorted(set(found)) == draws.some(range(10), 3, "cases")
        assert len(found) == 3
        drawn |= set(found)
    assert drawn == set(range(10))
    assert draws.some(range(3), 5, "cases") == [0, 1, 2]


def test_of_the_long_runs_one_is_drawn_and_one_that_is_asked_for_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: set[str] = set()
    for _ in runs(monkeypatch):
        left_out = draws.left_out(draws.LONG_RUNS)
        assert len(left_out) == len(draws.LONG_RUNS) - 1
        kept |= draws.LONG_RUNS - left_out
    assert kept == draws.LONG_RUNS
    assert draws.left_out({min(draws.LONG_RUNS), "tests/e2e/test_demo.py"}) == set()
    monkeypatch.setattr(draws, "ALL", True)
    assert draws.left_out(draws.LONG_RUNS) == set()


def test_they_are_files_that_exist() -> None:
    assert [name for name in draws.LONG_RUNS if not (ROOT / name).is_file()] == []

"""A restored central is no candidate before its copy is proven equal."""

from pathlib import Path

import pytest

from services.central.proof.ledger import Proven
from services.central.proof.probation import MARK, Probation, begin, is_proven
from shared.health import Health

SINCE_MS = 600_000 + 30_000


@pytest.mark.parametrize(
    ("proven", "answer"),
    [
        ([], False),
        ([Proven("a", 0, 0)], False),
        ([Proven("a", 599_999, 0)], False),
        ([Proven("a", 600_000, 0)], True),
        ([Proven("a", 0, 0), Proven("b", 660_000, 0)], True),
        ([Proven("a", 660_000, 0), Proven("b", 660_000, 1)], False),
    ],
)
def test_equal_up_to_the_snapshot_and_nowhere_different(proven: list[Proven], answer: bool) -> None:
    assert is_proven(SINCE_MS, proven) is answer


def test_the_mark_outlives_the_process_until_the_copy_is_proven(tmp_path: Path) -> None:
    health = Health()
    begin(tmp_path, SINCE_MS)

    assert not Probation(tmp_path, health).is_over(lambda: [])
    assert "not proven equal yet" in health.notes["proof"]

    again = Probation(tmp_path, health)
    assert again.is_over(lambda: [Proven("a", 600_000, 0)])
    assert health.notes == {}
    assert not (tmp_path / MARK).exists()
    assert Probation(tmp_path, health).is_over(lambda: [])


def test_who_was_never_restored_is_asked_nothing(tmp_path: Path) -> None:
    def never() -> list[Proven]:
        raise AssertionError

    assert Probation(tmp_path, Health()).is_over(never)

"""A restored central is no candidate before its copy is proven equal."""

from pathlib import Path

import pytest

from services.central.proof.ledger import Copy
from services.central.proof.probation import MARK, Probation, begin, is_proven
from shared.health import Health

SINCE_MS = 600_000 + 30_000


@pytest.mark.parametrize(
    ("copy", "answer"),
    [
        (Copy(0, 0), False),
        (Copy(599_999, 0), False),
        (Copy(600_000, 0), True),
        (Copy(660_000, 0), True),
        # Only what holds the copy up is counted: that a third central differs, as one that its disk
        # made wrong, would keep away the very machine that is to take its place.
        (Copy(660_000, 1), False),
    ],
)
def test_a_copy_up_to_the_snapshot_that_nothing_holds_up(*, copy: Copy, answer: bool) -> None:
    assert is_proven(SINCE_MS, copy) is answer


def test_the_mark_outlives_the_process_until_the_copy_is_proven(tmp_path: Path) -> None:
    health = Health()
    begin(tmp_path, SINCE_MS)

    assert not Probation(tmp_path, health).is_over(lambda: Copy(0, 0))
    assert "not proven equal yet" in health.notes["copy"]

    again = Probation(tmp_path, health)
    assert again.is_over(lambda: Copy(600_000, 0))
    assert health.notes == {}
    assert not (tmp_path / MARK).exists()
    assert Probation(tmp_path, health).is_over(lambda: Copy(0, 0))


def test_who_was_never_restored_is_asked_nothing(tmp_path: Path) -> None:
    def never() -> Copy:
        raise AssertionError

    assert Probation(tmp_path, Health()).is_over(never)

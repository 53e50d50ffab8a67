"""A snapshot taken at any moment, restored and fed with the rest, is the store it came from."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from services.central.snapshot.making import Order, make
from services.central.store.errors import StoreError
from tests.central.snapshots import MADE_AT_MS, fed, origin_of
from tests.central.snapshots_at_every_step import (
    Sums,
    Taken,
    a_log,
    restored_and_fed,
    snapshots_while_it_reads,
)
from tests.draws import some

STEPS_OF_A_SNAPSHOT = (
    "freeze rollups",
    "freeze flows",
    "freeze losses",
    "freeze quarantine",
    "take",
    "hash",
)


KINDS = {"enter", "flows", "losses", "close minute", "close hour", "hint"}


@pytest.fixture(scope="module")
def fifty(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Taken], Sums]:
    """Fifty snapshots, and what the store they are of holds in the end."""
    folder = tmp_path_factory.mktemp("primary")
    # In turn all of a snapshot between two steps, and up to two steps between its own.
    return snapshots_while_it_reads(
        folder / "a",
        folder / "snapshots",
        a_log(),
        at_most=50,
        steps_within=lambda n, step: n // 6 % 3 if step == STEPS_OF_A_SNAPSHOT[n % 6] else 0,
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", some(range(50), 10, "snapshots"))
def test_fifty_snapshots_at_every_step_each_end_equal(
    number: int, fifty: tuple[list[Taken], Sums], tmp_path: Path
) -> None:
    taken, expected = fifty
    assert len(taken) == 50
    assert {each.held for each in taken} >= KINDS
    assert {step for each in taken for step in each.between} >= KINDS
    assert restored_and_fed(taken[number].folder, tmp_path / "b", a_log()) == expected


@pytest.mark.parametrize("repairs", [1, 99])
def test_a_repair_that_begins_within_a_snapshot_is_in_it(repairs: int, tmp_path: Path) -> None:
    numbers = iter(range(1, repairs + 1))

    def begins_a_repair(step: str) -> None:
        if step == "freeze flows" and (number := next(numbers, None)):
            with closing(sqlite3.connect(tmp_path / "a" / "metadata.db")) as database:
                row = (number, "1" * 16, 0, 0, 0, 0, "")
                database.execute("INSERT INTO repairs VALUES (?, ?, ?, ?, ?, ?, ?)", row)
                database.commit()

    def snapshot() -> None:
        make(
            origin_of(tmp_path / "a"),
            tmp_path / "snapshot",
            snapshot_id="00000000000000aa",
            made_for="central-b",
            made_at_ms=MADE_AT_MS,
            before_step=begins_a_repair,
        )

    with fed(tmp_path / "a"):
        if repairs > 1:
            with pytest.raises(StoreError, match="a repair began while the store was frozen"):
                snapshot()
            return
        snapshot()
    with closing(sqlite3.connect(tmp_path / "snapshot" / "metadata.db")) as database:
        assert database.execute("SELECT number FROM repairs").fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("order", "last"),
    some(
        [
            pytest.param(Order(metadata_first=False), "metadata", id="hint-after-data"),
            pytest.param(
                Order(tables=("flows", "losses", "quarantine", "rollups")),
                "freeze rollups",
                id="sums-after-rows",
            ),
            pytest.param(
                Order(tables=("rollups", "losses", "quarantine", "flows")),
                "freeze flows",
                id="rows-after-gaps",
            ),
        ],
        1,
        "orders of a snapshot",
    ),
)
def test_in_another_order_a_snapshot_loses_rows(order: Order, last: str, tmp_path: Path) -> None:
    log = a_log()
    # The central goes on for some messages before the last copy is made.
    taken, expected = snapshots_while_it_reads(
        tmp_path / "a",
        tmp_path / "snapshots",
        log,
        at_most=3,
        steps_within=lambda _, step: 15 if step == last else 0,
        order=order,
    )
    ends = [
        restored_and_fed(each.folder, tmp_path / f"b{number}", log)
        for number, each in enumerate(taken)
    ]
    assert any(end != expected for end in ends)

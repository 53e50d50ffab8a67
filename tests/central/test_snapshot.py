"""A snapshot taken at any moment, restored and fed with the rest, is the store it came from."""

import shutil
from pathlib import Path

import pytest

from services.central.snapshot.making import Order
from tests.central.snapshots_at_every_step import (
    a_log,
    restored_and_fed,
    snapshots_while_it_reads,
)

COPIES = (
    "metadata",
    "freeze rollups",
    "freeze flows",
    "freeze losses",
    "freeze quarantine",
    "take",
)


@pytest.mark.slow
def test_fifty_snapshots_at_every_step_each_end_equal(tmp_path: Path) -> None:
    log = a_log()
    # In turn all of a snapshot between two steps, and up to two steps between its own.
    taken, expected, steps = snapshots_while_it_reads(
        tmp_path / "a",
        tmp_path / "snapshots",
        log,
        at_most=50,
        steps_within=lambda n, step: n // 6 % 3 if step == COPIES[n % 6] else 0,
    )
    assert len(taken) == 50
    assert {"enter", "flows", "losses", "close minute", "close hour", "hint"} <= set(steps)
    for number, snapshot in enumerate(taken):
        assert restored_and_fed(snapshot, tmp_path / f"b{number}", log) == expected, number
        shutil.rmtree(tmp_path / f"b{number}")


@pytest.mark.parametrize(
    ("order", "last"),
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
)
def test_in_another_order_a_snapshot_loses_rows(order: Order, last: str, tmp_path: Path) -> None:
    log = a_log()
    # The central goes on for some messages before the last copy is made.
    taken, expected, _ = snapshots_while_it_reads(
        tmp_path / "a",
        tmp_path / "snapshots",
        log,
        at_most=3,
        steps_within=lambda _, step: 15 if step == last else 0,
        order=order,
    )
    ends = [
        restored_and_fed(snapshot, tmp_path / f"b{number}", log)
        for number, snapshot in enumerate(taken)
    ]
    assert any(end != expected for end in ends)

"""One honest word on how fresh the numbers are."""

from dataclasses import replace

import pytest

from services.central.pages.status import Heard, Level, status

NOW_MS = 1_800_000_000_000
FRESH = Heard(now_ms=NOW_MS, reasons={}, waiting=0, newest_ms=NOW_MS - 800, flows_ms=NOW_MS - 3000)


def test_fresh_numbers_are_received() -> None:
    found = status(FRESH)

    assert (found.level, found.word, found.lag_s) == (Level.GOOD, "Receiving", 0.8)


@pytest.mark.parametrize(
    ("heard", "level", "word"),
    [
        (replace(FRESH, newest_ms=0, flows_ms=0), Level.CALM, "Waiting"),
        (replace(FRESH, flows_ms=NOW_MS - 600_000), Level.CALM, "Quiet"),
        (replace(FRESH, flows_ms=0), Level.CALM, "Quiet"),
        (replace(FRESH, newest_ms=NOW_MS - 60_000), Level.WARN, "No collector"),
        (replace(FRESH, newest_ms=NOW_MS - 60_000, waiting=900), Level.WARN, "Behind"),
        (replace(FRESH, waiting=900), Level.GOOD, "Receiving"),
        (replace(FRESH, reasons={"kafka": "starting"}), Level.WARN, "Starting"),
        (replace(FRESH, reasons={"kafka": "no broker"}), Level.BAD, "Kafka trouble"),
        (replace(FRESH, reasons={"store": "disk is full"}), Level.BAD, "Store trouble"),
        (replace(FRESH, reasons={"schema": "column x"}), Level.BAD, "Upgrade needed"),
    ],
)
def test_what_matters_most_is_said(heard: Heard, level: Level, word: str) -> None:
    found = status(heard)

    assert (found.level, found.word) == (level, word)


def test_trouble_names_its_reason() -> None:
    assert "disk is full" in status(replace(FRESH, reasons={"store": "disk is full"})).sentence

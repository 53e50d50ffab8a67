"""A standby checks itself every day, also one that is started often or whose clock steps."""

from services.standby.schedule import RETRY_S, due_in_s

DAY_S = 86_400
NOW_MS = 1_700_000_000_000


def due(checked_s_ago: float = 0, tried_s_ago: float | None = None) -> float:
    return due_in_s(
        checked_ms=NOW_MS - int(checked_s_ago * 1000),
        tried_ms=0 if tried_s_ago is None else NOW_MS - int(tried_s_ago * 1000),
        now_ms=NOW_MS,
        every_s=DAY_S,
    )


def test_a_day_after_the_last_one() -> None:
    assert due(checked_s_ago=0) == DAY_S
    assert due(checked_s_ago=DAY_S - 10) == 10
    assert due(checked_s_ago=3 * DAY_S) == 0


def test_what_was_never_made_is_due() -> None:
    assert due_in_s(checked_ms=0, tried_ms=0, now_ms=NOW_MS, every_s=DAY_S) == 0


def test_one_that_could_not_be_made_is_tried_again_in_an_hour() -> None:
    assert due(checked_s_ago=2 * DAY_S, tried_s_ago=0) == RETRY_S
    assert due(checked_s_ago=2 * DAY_S, tried_s_ago=RETRY_S) == 0
    assert due(checked_s_ago=10, tried_s_ago=20) == DAY_S - 10


def test_a_clock_set_back_makes_no_long_pause() -> None:
    assert due(checked_s_ago=-40 * DAY_S) == DAY_S

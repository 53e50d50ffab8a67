"""When registries tick: alone, together, and after one of them fell silent."""

import itertools

import pytest

from services.registry.ticking import Ticking, after_sent, after_valid, due_s

PERIOD_S = 0.4
READ_BACK_S = 0.002


def due(ticking: Ticking) -> float:
    return due_s(ticking, period_s=PERIOD_S)


def read_by_all(
    registries: dict[int, Ticking], by: int, *, now_s: float, age_s: float, count: int
) -> None:
    """Have each read a valid tick of one of `count`."""
    for number, ticking in registries.items():
        registries[number] = after_valid(
            ticking, is_own=number == by, now_s=now_s, age_s=age_s, chance=number / count
        )


def test_the_first_tick_is_due_at_once() -> None:
    assert due(Ticking()) == float("-inf")


def test_a_tick_that_was_not_read_back_is_followed_a_period_later() -> None:
    assert due(after_sent(Ticking(), now_s=10.0)) == 10.4


def test_who_ticked_last_ticks_again_a_period_after_reading_it() -> None:
    ticking = after_sent(Ticking(), now_s=10.0)
    ticking = after_valid(ticking, is_own=True, now_s=10.002, age_s=0.0, chance=0.9)

    assert due(ticking) == pytest.approx(10.402)


def test_an_own_tick_that_came_late_into_the_log_moves_the_next_one_so_that_both_count() -> None:
    ticking = after_sent(Ticking(), now_s=10.0)
    ticking = after_valid(ticking, is_own=True, now_s=10.3, age_s=0.0, chance=0.9)

    assert due(ticking) >= 10.3 + 0.8 * PERIOD_S


@pytest.mark.parametrize("chance", [0.0, 0.999])
def test_the_others_wait_a_little_longer_for_it(chance: float) -> None:
    ticking = after_valid(Ticking(), is_own=False, now_s=10.0, age_s=0.0, chance=chance)

    assert 10.0 + 1.05 * PERIOD_S <= due(ticking) <= 10.0 + 1.15 * PERIOD_S


def test_a_late_tick_moves_the_next_one_so_that_both_count() -> None:
    ticking = after_sent(Ticking(), now_s=10.0)
    read = after_valid(ticking, is_own=True, now_s=10.0, age_s=0.0, chance=0.0)
    late = after_sent(read, now_s=10.7)

    assert due(late) == pytest.approx(11.1)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_together_they_tick_once_a_period_also_when_the_one_that_ticks_dies(count: int) -> None:
    registries = {number: Ticking() for number in range(count)}
    valid: list[float] = []
    sent = 0
    while len(valid) < 40:
        who = min(registries, key=lambda number: due(registries[number]))
        now_s = max(due(registries[who]), 0.0)
        sent += 1
        registries[who] = after_sent(registries[who], now_s=now_s)
        if valid and now_s - valid[-1] < 0.8 * PERIOD_S:
            continue
        valid.append(now_s)
        read_by_all(registries, who, now_s=now_s + READ_BACK_S, age_s=0.0, count=count)
        if len(valid) == 20 and count > 1:
            del registries[who]

    apart = [after - before for before, after in itertools.pairwise(valid)]
    assert min(apart) >= 0.8 * PERIOD_S
    assert max(apart) <= 1.2 * PERIOD_S
    assert sent <= len(valid) + count


@pytest.mark.parametrize("is_aged", [True, False], ids=["by the log", "control: by reading"])
def test_a_log_that_waited_for_a_broker_delays_no_tick(*, is_aged: bool) -> None:
    """Nothing is read for a while, as the log waits for a copy on a machine that is gone."""
    slowest: list[float] = []
    for waits_s in (0.9, 1.1, 1.3, 1.5, 1.7, 1.9):
        # The third, whose tick was valid at 0, is gone with its machine.
        begun = after_valid(Ticking(), is_own=False, now_s=READ_BACK_S, age_s=0.0, chance=0.0)
        registries = {0: begun, 1: begun._replace(patience=1.14)}
        valid = [0.0]
        unread: list[tuple[int, float]] = []
        while len(valid) < 10:
            who = min(registries, key=lambda number: due(registries[number]))
            now_s = due(registries[who])
            if unread and now_s >= waits_s:
                for by, at_s in unread:
                    # What came last is a heartbeat, a moment ago.
                    age_s = waits_s - 0.05 - at_s if is_aged else 0.0
                    read_by_all(registries, by, now_s=waits_s, age_s=age_s, count=2)
                unread = []
                continue
            registries[who] = after_sent(registries[who], now_s=now_s)
            if now_s - valid[-1] < 0.8 * PERIOD_S:
                continue
            valid.append(now_s)
            if now_s < waits_s:
                unread.append((who, now_s))
                continue
            read_by_all(registries, who, now_s=now_s + READ_BACK_S, age_s=0.0, count=2)
        slowest.append(max(after - before for before, after in itertools.pairwise(valid)))

    assert (max(slowest) <= 1.2 * PERIOD_S) is is_aged, slowest

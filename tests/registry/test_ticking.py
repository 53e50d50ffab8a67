"""When registries tick: alone, together, and after one of them fell silent."""

import itertools

import pytest

from services.registry.ticking import Ticking, after_sent, after_valid, due_s

PERIOD_S = 0.4
READ_BACK_S = 0.002


def due(ticking: Ticking) -> float:
    return due_s(ticking, period_s=PERIOD_S)


def test_the_first_tick_is_due_at_once() -> None:
    assert due(Ticking()) == float("-inf")


def test_a_tick_that_was_not_read_back_is_followed_a_period_later() -> None:
    assert due(after_sent(Ticking(), now_s=10.0)) == 10.4


def test_who_ticked_last_ticks_again_a_period_after_reading_it() -> None:
    ticking = after_sent(Ticking(), now_s=10.0)
    ticking = after_valid(ticking, is_own=True, now_s=10.002, chance=0.9)

    assert due(ticking) == pytest.approx(10.402)


@pytest.mark.parametrize("chance", [0.0, 0.999])
def test_the_others_wait_a_little_longer_for_it(chance: float) -> None:
    ticking = after_valid(Ticking(), is_own=False, now_s=10.0, chance=chance)

    assert 10.0 + 1.05 * PERIOD_S <= due(ticking) <= 10.0 + 1.15 * PERIOD_S


def test_a_late_tick_moves_the_next_one_so_that_both_count() -> None:
    ticking = after_sent(Ticking(), now_s=10.0)
    late = after_sent(after_valid(ticking, is_own=True, now_s=10.0, chance=0.0), now_s=10.7)

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
        for number, ticking in registries.items():
            registries[number] = after_valid(
                ticking, is_own=number == who, now_s=now_s + READ_BACK_S, chance=number / count
            )
        if len(valid) == 20 and count > 1:
            del registries[who]

    apart = [after - before for before, after in itertools.pairwise(valid)]
    assert min(apart) >= 0.8 * PERIOD_S
    assert max(apart) <= 1.2 * PERIOD_S
    assert sent <= len(valid) + count

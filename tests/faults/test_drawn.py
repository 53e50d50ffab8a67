"""Which faults are drawn, and what is made of what they measured."""

import random

import pytest

from tests.faults.drawn import Kind, draw, kinds_of
from tests.faults.measured import Injected, needless, quantile, table, without_reason


def test_the_same_seed_draws_the_same_and_every_kind_comes_as_often() -> None:
    drawn = draw(3 * len(Kind), random.Random(7), tuple(Kind))
    assert drawn == draw(3 * len(Kind), random.Random(7), tuple(Kind))
    assert {drawn.count(kind) for kind in Kind} == {3}
    assert draw(2, random.Random(7), [Kind.SWITCHOVER]) == [Kind.SWITCHOVER] * 2


def test_kinds_have_names() -> None:
    assert kinds_of(["kill-primary", ""], Kind) == (Kind.KILL_PRIMARY,)
    assert kinds_of([""], Kind) == tuple(Kind)
    with pytest.raises(ValueError, match="no fault kill-everybody: there are kill-primary"):
        kinds_of(["kill-everybody"], Kind)


def test_a_takeover_without_a_reason_is_needless() -> None:
    killed = Injected(Kind.KILL_PRIMARY, 5, 9, reasons=1)
    assert needless(killed, [5, 9]) == 0
    assert needless(killed, [5, 7, 9]) == 1
    quiet, taken_over = Injected(Kind.FREEZE_BROKER, 5, 5), Injected(Kind.FREEZE_BROKER, 5, 9)
    assert needless(quiet, [5, 9]) == 0
    assert needless(taken_over, [5, 9]) == 1
    assert list(without_reason([killed, quiet], [5, 9])) == []
    assert list(without_reason([taken_over], [5, 9])) == [
        "freeze-broker: a needless takeover, epochs [9]"
    ]


def test_a_quantile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(200, 0, -1)]
    assert [quantile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [100, 190, 198, 200]
    assert quantile([3.0], 0.5) == 3.0


def test_the_table_has_a_row_for_each_kind_that_came() -> None:
    faults = [
        Injected(Kind.KILL_PRIMARY, 5, 9, 0.4, reasons=1),
        Injected(Kind.KILL_REGISTRY, 9, 9),
        Injected(Kind.KILL_PRIMARY, 9, 14, 0.2, reasons=1),
    ]
    assert table(faults, {5: None, 9: 0.3, 14: 0.1}, Kind).splitlines()[2:] == [
        "| kill-primary | 2 | 2 | 0 | 0.10 | 0.30 | 0.30 | 0.30 | 0.20 | 0.40 | 0.40 | 0.40 |",
        "| kill-registry | 1 | 0 | 0 |  |  |  |  |  |  |  |  |",
    ]

from itertools import islice

from shared.backoff import waits


def test_waits_double_up_to_the_longest() -> None:
    steps = waits(first_s=1.0, longest_s=5.0, chance=lambda: 1.0)
    assert list(islice(steps, 5)) == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_wait_is_at_least_half_of_its_step() -> None:
    assert list(islice(waits(first_s=1.0, longest_s=4.0, chance=lambda: 0.0), 3)) == [0.5, 1, 2]


def test_clients_do_not_come_back_together() -> None:
    assert next(waits()) != next(waits())

"""The sliding windows: set and never added, bounded, and the same however the ranges came."""

import random
from collections.abc import Iterable

import pytest

from services.central.live.windows import KEPT_S, LiveRate, RatesRange, Taken, Windows
from shared.addresses import pack_address
from tests.central.live_ranges import T_MS, Sum, a_range

AS_OF_MS = T_MS + 1000


def filled(ranges: Iterable[RatesRange], **options: bool) -> Windows:
    windows = Windows(**options)
    for given in ranges:
        windows.set(given)
    return windows


def rates(windows: Windows, as_of_ms: int = AS_OF_MS) -> tuple[LiveRate, ...]:
    return windows.rates(as_of_ms)[0]


def flows(windows: Windows, window_s: int = 10, as_of_ms: int = AS_OF_MS) -> float:
    """Return the flows of all exporters within one window."""
    return sum(
        rate.flows_per_s * window_s
        for rate in rates(windows, as_of_ms)
        if rate.interface is None and rate.window_s == window_s
    )


def test_a_rate_is_the_mean_of_its_window() -> None:
    rows = (Sum(5, interface=3), Sum(2, interface=4, rate=10), Sum(7, interface=0, direction=1))
    windows = filled([a_range(1, 9, T_MS, *rows), a_range(10, 10, T_MS - 30_000)])
    found = {(rate.interface, rate.direction, rate.window_s): rate for rate in rates(windows)}
    assert found[3, "in", 10].bytes_per_s == 50
    assert found[3, "in", 60].flows_per_s == pytest.approx(6 / 60)
    assert found[4, "in", 300].packets_per_s == pytest.approx(4 / 300)
    assert found[4, "in", 10].bytes_scaled_per_s == 200
    assert found[4, "in", 10].packets_scaled_per_s == 4
    assert found[None, "in", 10].flows_per_s == found[None, "out", 10].flows_per_s == 0.7
    assert len(found) == 3 * 5


def test_a_window_ends_before_its_second_and_begins_with_it() -> None:
    windows = filled([a_range(1, 1, T_MS + 999), a_range(2, 4, T_MS + 1000)])
    assert flows(windows) == 1
    assert flows(windows, as_of_ms=AS_OF_MS + 999) == 1
    assert flows(windows, as_of_ms=AS_OF_MS + 1000) == 4
    assert flows(windows, as_of_ms=AS_OF_MS + 10_000) == 3


def test_what_is_sent_twice_is_counted_once() -> None:
    ranges = [a_range(1, 4, T_MS), a_range(5, 6, T_MS + 200)]
    windows = filled(ranges)
    assert [windows.set(given) for given in ranges] == [Taken.REPEAT, Taken.REPEAT]
    assert rates(windows) == rates(filled(ranges))
    assert flows(windows) == 6
    # The negative control: a window that adds.
    assert flows(filled([*ranges, *ranges], knows_repeats=False)) == 12


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([(1, 10)], [(1, 5), (6, 10)]),
        ([(1, 5), (6, 10)], [(1, 10)]),
        ([(1, 4), (5, 8)], [(1, 10)]),
        ([(1, 4), (5, 8)], [(1, 2), (3, 8), (9, 10)]),
    ],
)
def test_a_range_that_is_cut_differently_is_not_doubled(
    before: list[tuple[int, int]], after: list[tuple[int, int]]
) -> None:
    ranges = [a_range(first, last, T_MS + first) for first, last in [*before, *after]]
    assert flows(filled(ranges)) == 10
    assert flows(filled(ranges, knows_repeats=False)) > 10


def test_a_border_that_moved_may_cost_a_range_and_never_doubles_one() -> None:
    windows = filled([a_range(1, 4, T_MS), a_range(5, 8, T_MS), a_range(7, 12, T_MS)])
    assert flows(windows) == 4 + 6


def test_a_repeat_of_what_is_settled_is_known_too() -> None:
    ranges = [a_range(n, n, T_MS + n) for n in range(1, 101)]
    windows = filled(ranges)
    windows.forget(T_MS + 60_000)
    assert windows.entries == 1
    assert {windows.set(given) for given in ranges} == {Taken.REPEAT}
    assert windows.set(a_range(90, 110, T_MS + 200)) is Taken.REPEAT
    assert flows(windows, 300, T_MS + 60_000) == 100


def test_streams_and_exporters_are_apart() -> None:
    ranges = [
        a_range(1, 2, T_MS, stream=1),
        a_range(1, 2, T_MS, stream=2),
        a_range(3, 3, T_MS, Sum(5, exporter="2001:db8::1"), stream=2),
    ]
    windows = filled(ranges)
    assert flows(windows) == 9
    found, _ = windows.rates(AS_OF_MS, exporter=pack_address("2001:db8::1"), windows_s=[60])
    assert [(rate.exporter, rate.interface, rate.window_s) for rate in found] == [
        ("2001:db8::1", None, 60),
        ("2001:db8::1", 3, 60),
    ]
    assert windows.rates(AS_OF_MS, exporter=pack_address("192.0.2.77"))[0] == ()
    found, _ = windows.rates(AS_OF_MS, interface=3, windows_s=[10])
    assert {rate.interface for rate in found} == {3}


def test_a_backlog_is_spread_over_its_time() -> None:
    long = a_range(1, 60, T_MS - 59_000, Sum(60), until_ms=T_MS + 500, appended_ms=T_MS + 900)
    windows = filled([long])
    assert flows(windows, 60) == 60
    assert 5 <= flows(windows, 10) <= 15
    assert windows.set(long) is Taken.REPEAT


def test_what_is_old_or_of_the_future_is_refused() -> None:
    windows = Windows()
    assert windows.set(a_range(1, 1, T_MS, appended_ms=T_MS + KEPT_S * 1000 + 1000)) is Taken.OLD
    assert windows.set(a_range(2, 2, T_MS + 61_000, appended_ms=T_MS)) is Taken.AHEAD
    windows.forget(T_MS + KEPT_S * 1000 + 1000)
    assert windows.set(a_range(3, 3, T_MS)) is Taken.OLD
    assert (windows.entries, windows.newest_ms) == (0, None)


def test_what_is_older_than_six_minutes_is_forgotten_whole() -> None:
    windows = filled(a_range(n, n, T_MS + n * 1000) for n in range(1, 31))
    windows.forget(T_MS + (KEPT_S + 20) * 1000)
    assert windows.entries == 11
    windows.forget(T_MS + (KEPT_S + 40) * 1000)
    assert windows.entries == 0
    assert not windows._streams
    assert not windows._seconds


def test_a_clock_that_falls_forgets_nothing_and_breaks_nothing() -> None:
    windows = filled([a_range(1, 1, T_MS)])
    windows.forget(T_MS + 1000)
    windows.forget(T_MS - 86_400_000)
    windows.set(a_range(2, 2, T_MS))
    assert flows(windows) == 2


def test_exporters_beyond_the_bound_are_left_out_and_counted() -> None:
    windows = Windows(exporters_max=2)
    rows = [Sum(1, exporter=f"192.0.2.{n}") for n in range(5)]
    windows.set(a_range(1, 5, T_MS, *rows))
    assert (flows(windows), windows.left_out) == (2, 3)
    windows.forget(T_MS + (KEPT_S + 10) * 1000)
    later_ms = T_MS + (KEPT_S + 10) * 1000
    windows.set(a_range(6, 10, later_ms, *rows[3:]))
    # Those who are silent for six minutes make room.
    assert (flows(windows, as_of_ms=later_ms + 1000), windows.left_out) == (2, 3)


def test_without_room_the_oldest_goes_and_its_window_is_not_shown() -> None:
    windows = Windows(entries_max=50)
    for n in range(100):
        windows.set(a_range(n + 1, n + 1, T_MS - 100_000 + n * 1000))
    windows.forget(T_MS)
    assert windows.entries == 50
    assert {rate.window_s for rate in rates(windows, T_MS)} == {10}
    assert flows(windows, as_of_ms=T_MS) == 10


def test_a_limit_leaves_out_the_smallest_and_says_how_many() -> None:
    rows = [Sum(n, interface=n) for n in range(1, 11)]
    windows = filled([a_range(1, 10, T_MS, *rows)])
    found, left_out = windows.rates(AS_OF_MS, windows_s=[10], limit=3)
    assert [rate.interface for rate in found] == [None, 10, 9, 8]
    assert left_out == 7


@pytest.mark.parametrize("seed", range(5))
def test_any_order_of_repeats_gives_the_windows_of_one_that_ran_through(seed: int) -> None:
    chance = random.Random(seed)
    ranges = [
        a_range(
            n * 10 + 1, n * 10 + 10, T_MS - 320_000 + n * 1000 + chance.randrange(1000),
            *[Sum(chance.randrange(1, 50), interface=chance.randrange(4), direction=d)
              for d in (0, 1)],
            stream=stream,
        )
        for n in range(320) for stream in (1, 2)
    ]  # fmt: skip
    through, troubled = Windows(), Windows()
    for number, given in enumerate(ranges):
        through.set(given)
        troubled.set(given)
        if chance.random() < 0.1:
            # A decoder that was killed sends from some range on again.
            for again in ranges[max(0, number - chance.randrange(80)) : number + 1]:
                troubled.set(again)
        if chance.random() < 0.2:
            troubled.forget(given.appended_ms)
    rebuilt = filled(given for given in ranges if given.appended_ms >= AS_OF_MS - KEPT_S * 1000)
    through.forget(T_MS)
    for as_of_ms in (AS_OF_MS, T_MS - 7_000, T_MS + 60_000):
        assert rates(troubled, as_of_ms) == rates(through, as_of_ms) == rates(rebuilt, as_of_ms)
    # The negative control: what was read after the start only.
    assert rates(filled(ranges[500:])) != rates(through)

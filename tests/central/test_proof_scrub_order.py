"""The order of the scrub: the last hour again and again, everything older in turn."""

from itertools import pairwise

from services.central.proof.scrub_order import (
    HOUR_MS,
    MINUTE_MS,
    OLDER_EVERY_S,
    RECENT_EVERY_S,
    SHARE,
    Chunk,
    ScrubOrder,
    older_chunks,
    pause_s,
    recent_chunks,
)
from shared.digest_records import HOUR, MINUTE, Period

AT_MS = 1_700_002_800_000


def minutes_of(hours: int, streams: tuple[int, ...] = (1,)) -> list[Period]:
    """Return every minute and hour of `hours` hours."""
    found = [
        Period(stream, MINUTE, AT_MS + at * MINUTE_MS)
        for stream in streams
        for at in range(hours * 60)
    ]
    return found + [
        Period(stream, HOUR, AT_MS + at * HOUR_MS) for stream in streams for at in range(hours)
    ]


class Scrub:
    """Follows an order on a clock that each chunk moves by `chunk_s`."""

    def __init__(self, periods: list[Period], newest_ms: int, chunk_s: float = 1.0) -> None:
        self.order = ScrubOrder()
        self.now_s = 100.0
        self._periods, self._newest_ms, self._chunk_s = periods, newest_ms, chunk_s

    def turn(self) -> Chunk | None:
        chunk = self.order.next(lambda: self._periods, newest_ms=self._newest_ms, now_s=self.now_s)
        self.now_s += self._chunk_s
        return chunk


def test_the_last_hour_is_cut_by_minute_and_the_rest_by_hour() -> None:
    newest_ms = AT_MS + 3 * HOUR_MS + 20 * MINUTE_MS
    periods = minutes_of(4, streams=(1, 2))
    assert recent_chunks(periods, newest_ms - HOUR_MS) == [
        Chunk(1, AT_MS + 2 * HOUR_MS, AT_MS + 2 * HOUR_MS + 20 * MINUTE_MS),
        Chunk(2, AT_MS + 2 * HOUR_MS, AT_MS + 2 * HOUR_MS + 20 * MINUTE_MS),
        Chunk(1, AT_MS + 3 * HOUR_MS, AT_MS + 3 * HOUR_MS),
        Chunk(2, AT_MS + 3 * HOUR_MS, AT_MS + 3 * HOUR_MS),
    ]
    older = older_chunks(periods, newest_ms - HOUR_MS)
    assert older == [
        Chunk(stream, AT_MS + at * HOUR_MS, AT_MS + at * HOUR_MS)
        for at in range(3)
        for stream in (1, 2)
    ]


def test_the_last_hour_is_looked_at_again_and_older_ones_between() -> None:
    newest_ms = AT_MS + 50 * HOUR_MS
    scrub = Scrub(minutes_of(50), newest_ms)
    seen = [scrub.turn() for _ in range(120)]
    last_ms = newest_ms - HOUR_MS
    recent = [at for at, chunk in enumerate(seen) if chunk and chunk.hour_ms >= last_ms]
    gaps = [after - before for before, after in pairwise(recent)]
    assert max(gaps) <= RECENT_EVERY_S + 2
    older = {chunk for chunk in seen if chunk and chunk.hour_ms < last_ms}
    assert len(older) == 49
    assert scrub.order.found_within_s is not None
    assert RECENT_EVERY_S <= scrub.order.found_within_s <= RECENT_EVERY_S + 2
    assert scrub.order.older.took_s is not None
    assert 49 <= scrub.order.older.took_s <= 60
    assert scrub.order.older_found_within_s == max(scrub.order.older.took_s, OLDER_EVERY_S)


def test_though_the_last_hour_takes_longer_than_its_turn_older_ones_are_not_forgotten() -> None:
    newest_ms = AT_MS + 5 * HOUR_MS
    scrub = Scrub(minutes_of(5, streams=(1, 2)), newest_ms, chunk_s=2 * RECENT_EVERY_S)
    seen = [scrub.turn() for _ in range(60)]
    assert {chunk.hour_ms for chunk in seen if chunk} == {AT_MS + at * HOUR_MS for at in range(5)}
    assert scrub.order.found_within_s is not None
    assert scrub.order.found_within_s > 4 * RECENT_EVERY_S


def test_of_a_small_store_older_ones_rest_and_are_found_as_soon_as_is_said() -> None:
    scrub = Scrub(minutes_of(3), AT_MS + 3 * HOUR_MS)
    turns = [(scrub.now_s, scrub.turn()) for _ in range(300)]
    oldest_s = [at_s for at_s, chunk in turns if chunk and chunk.hour_ms == AT_MS]
    gaps_s = [after - before for before, after in pairwise(oldest_s)]
    assert min(gaps_s) >= OLDER_EVERY_S
    # The last hour may go first, as it does where there is more.
    assert max(gaps_s) <= OLDER_EVERY_S + 3
    assert scrub.order.older_found_within_s == OLDER_EVERY_S
    assert sum(chunk is None for _, chunk in turns) > 250


def test_with_nothing_closed_nothing_is_due() -> None:
    scrub = Scrub([], 0)
    assert [scrub.turn() for _ in range(5)] == [None] * 5
    assert scrub.order.found_within_s is None


def test_the_pause_leaves_the_rest_of_the_time_to_others() -> None:
    assert 3.0 / (3.0 + pause_s(3.0)) == SHARE

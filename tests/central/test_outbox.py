"""The outbox: what is in it, once, and never an effect of an epoch that is over."""

from pathlib import Path

import pytest

from services.central.roles.outbox import (
    Alive,
    Delivered,
    Item,
    Notice,
    OutboxError,
    OutboxState,
    decode_item,
    encode_item,
    evolve,
)
from services.central.roles.outbox_since import MARK, READ_MS, OutboxSince

HOUR_MS = 3_600_000
NOW_MS = 500 * HOUR_MS


def notice(key: str, epoch: int = 1) -> Notice:
    return Notice(generation=1, epoch=epoch, decided_ms=5, key=key, text=f"about {key}")


def delivered(key: str, epoch: int = 1) -> Delivered:
    return Delivered(generation=1, epoch=epoch, decided_ms=6, key=key)


def folded(*items: Item) -> OutboxState:
    state = OutboxState()
    for item in items:
        state = evolve(state, item)
    return state


def test_a_notice_waits_until_it_is_delivered() -> None:
    assert list(folded(notice("a"), notice("b")).waiting) == ["a", "b"]
    assert list(folded(notice("a"), notice("b"), delivered("a")).waiting) == ["b"]


def test_a_notice_written_twice_is_one() -> None:
    state = folded(notice("a"), delivered("a"), notice("a", epoch=2))
    assert not state.waiting
    assert state.known == ("a",)


def test_an_item_of_an_epoch_that_is_over_is_refused() -> None:
    state = folded(notice("new", epoch=7), notice("old", epoch=3), delivered("new", epoch=3))
    assert (list(state.waiting), state.refused) == (["new"], 2)


def test_a_log_made_again_counts_as_later() -> None:
    again = Notice(generation=2, epoch=0, decided_ms=5, key="a", text="begins again")
    assert folded(notice("old", epoch=700), again).refused == 0


@pytest.mark.parametrize(
    "item", [Alive(generation=1, epoch=2, decided_ms=3), notice("a"), delivered("a")]
)
def test_items_come_back_as_they_were(item: Item) -> None:
    assert decode_item(encode_item(item)) == item


@pytest.mark.parametrize(
    "value",
    [
        None, b"", b"[]", b"{}", b'{"is":"alive"}', b'{"is":"other","generation":1}',
        b'{"is":"alive","generation":"1","epoch":2,"decided_ms":3}',
        b'{"is":"notice","generation":1,"epoch":2,"decided_ms":3,"key":"","text":"x"}',
        b'{"is":"notice","generation":1,"epoch":2,"decided_ms":3,"key":"k","text":5}',
    ],
)  # fmt: skip
def test_what_is_no_item_is_refused(value: bytes | None) -> None:
    with pytest.raises(OutboxError):
        decode_item(value)


def read_at(data_dir: Path, *items: Item) -> None:
    """Read `items` as a central does that starts with what the one before noted."""
    since, state = OutboxSince(data_dir), OutboxState()
    for item in items:
        state = evolve(state, item)
        since.note(state, item)


def alive(at_ms: int) -> Alive:
    return Alive(generation=1, epoch=1, decided_ms=at_ms)


def waits_since(at_ms: int) -> Notice:
    return Notice(generation=1, epoch=1, decided_ms=at_ms, key="a", text="about a")


def test_a_new_central_reads_all_of_the_outbox(tmp_path: Path) -> None:
    assert OutboxSince(tmp_path).since_ms(NOW_MS) == 0
    assert OutboxSince(None).since_ms(NOW_MS) == 0
    (tmp_path / MARK).write_text("")
    assert OutboxSince(tmp_path).since_ms(NOW_MS) == 0


def test_a_start_reads_a_day_when_nothing_waits(tmp_path: Path) -> None:
    read_at(tmp_path, alive(NOW_MS - HOUR_MS), alive(NOW_MS))
    assert OutboxSince(tmp_path).since_ms(NOW_MS) == NOW_MS - READ_MS


def test_a_start_reads_from_the_oldest_notice_that_waits(tmp_path: Path) -> None:
    decided_ms = NOW_MS - 100 * HOUR_MS
    hours = [alive(decided_ms + n * HOUR_MS) for n in range(101)]
    read_at(tmp_path, waits_since(decided_ms), *hours)
    assert OutboxSince(tmp_path).since_ms(NOW_MS) == decided_ms
    # It waits over a second start as well, and no more once it is delivered.
    read_at(tmp_path, waits_since(decided_ms), *hours)
    assert OutboxSince(tmp_path).since_ms(NOW_MS) == decided_ms
    read_at(tmp_path, waits_since(decided_ms), *hours, delivered("a"), alive(NOW_MS))
    assert OutboxSince(tmp_path).since_ms(NOW_MS) == NOW_MS - READ_MS


def test_a_start_after_a_long_stop_reads_from_where_it_stopped(tmp_path: Path) -> None:
    stopped_ms = NOW_MS - 60 * HOUR_MS
    read_at(tmp_path, alive(stopped_ms))
    assert OutboxSince(tmp_path).since_ms(NOW_MS) == stopped_ms


def test_a_mark_that_cannot_be_written_costs_no_reading(tmp_path: Path) -> None:
    read_at(tmp_path / "not there", alive(NOW_MS))
    assert OutboxSince(tmp_path / "not there").since_ms(NOW_MS) == 0

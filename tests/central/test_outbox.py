"""The outbox: what is in it, once, and never an effect of an epoch that is over."""

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

"""A view survives its own address, and no address fails a page."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.central.filters import FILTERS, condition
from services.central.pages.time_range import Absolute, Relative
from services.central.pages.view import (
    METRICS,
    QUERY_MAX,
    REFRESHES_S,
    SPLITS,
    THEMES,
    ZONES,
    View,
    narrowed,
    read_view,
    write_view,
)

RANGES = st.one_of(
    st.integers(1, 10_000).map(lambda minutes: Relative(minutes * 60)),
    st.tuples(st.integers(1, 10**9), st.integers(1, 10**6)).map(
        lambda each: Absolute(each[0] * 1000, (each[0] + 60 * each[1]) * 1000)
    ),
)
FILTER_VALUES = st.sampled_from(
    [
        ("src_addr", "10.0.0.1"),
        ("src_addr", "2001:db8::/32"),
        ("host", "192.0.2.7"),
        ("application", "tcp/443"),
        ("collector", "a&b=c d/é"),
        ("dst_as", "64500"),
    ]
)
VIEWS = st.builds(
    View,
    range=RANGES,
    filters=st.lists(FILTER_VALUES, unique=True, max_size=6).map(tuple),
    split=st.sampled_from(SPLITS),
    metric=st.sampled_from(METRICS),
    zone=st.sampled_from(ZONES),
    refresh_s=st.sampled_from(REFRESHES_S),
    theme=st.sampled_from(THEMES),
)


@given(VIEWS)
def test_a_view_is_read_back_from_its_address(view: View) -> None:
    read = read_view(write_view(view))

    assert read.view == view
    assert read.ignored == ()


@given(st.text(max_size=400))
def test_any_address_gives_a_view_that_reports_accept(query: str) -> None:
    view = read_view(query).view

    for name, values in view.by_name.items():
        condition(name, values)
    from_ms, to_ms = view.range.at(1_800_000_000_000)
    assert from_ms < to_ms


@given(st.sampled_from([*FILTERS, "from", "to", "split", "refresh"]), st.text(max_size=40))
def test_any_value_of_a_known_name_gives_a_view(name: str, value: str) -> None:
    read_view(f"?{name}={value}")


def test_the_plain_view_has_an_empty_address() -> None:
    assert write_view(View()) == "?"
    assert read_view("").view == View()


@pytest.mark.parametrize(
    ("query", "ignored"),
    [
        ("?src_addr=nonsense", "src_addr=nonsense"),
        ("?split=colour", "split=colour"),
        ("?refresh=7", "refresh=7"),
        ("?from=yesterday", "from=yesterday"),
        ("?from=now-1h&to=2026-03-02T10:00:00Z", "from=now-1h"),
        ("?<script>=1", "<script>=1"),
        ("?collector=a%00b", "collector=a?b"),
        ("?host=", "host="),
    ],
)
def test_what_is_not_understood_is_left_out_and_named(query: str, ignored: str) -> None:
    read = read_view(query)

    assert read.view == View()
    assert read.ignored[0] == ignored


def test_an_address_without_end_is_not_read() -> None:
    assert read_view("?host=10.0.0.1&" + "a" * QUERY_MAX).view == View()


def test_more_filters_than_fit_are_left_out() -> None:
    read = read_view("?" + "&".join(f"host=10.0.0.{number}" for number in range(50)))

    assert len(read.view.filters) == 20
    assert read.ignored


def test_a_click_replaces_the_value_of_its_filter_and_keeps_the_others() -> None:
    view = View(filters=(("src_addr", "10.0.0.1"), ("protocol", "tcp")))

    assert view.filtered(("src_addr", "10.0.0.2")).filters == (
        ("protocol", "tcp"),
        ("src_addr", "10.0.0.2"),
    )
    assert view.without(("protocol", "tcp")).filters == (("src_addr", "10.0.0.1"),)
    assert replace(view, filters=()).by_name == {}


def test_what_the_page_stands_for_wins_over_the_address() -> None:
    filters = (("exporter", "192.0.2.9"), ("protocol", "tcp"))

    assert narrowed(filters, [("exporter", "192.0.2.1")]) == {
        "exporter": ["192.0.2.1"],
        "protocol": ["tcp"],
    }

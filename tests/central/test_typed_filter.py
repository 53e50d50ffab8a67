"""The filter box understands what network people type."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.central.filters import ReportError, condition
from services.central.pages.typed_filter import read_typed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", ("host", "10.0.0.1")),
        (" 10.0.0.0/8 ", ("host", "10.0.0.0/8")),
        ("2001:db8::1", ("host", "2001:db8::1")),
        ("443", ("port", "443")),
        ("tcp/443", ("application", "tcp/443")),
        ("UDP", ("protocol", "udp")),
        ("AS64500", ("as", "64500")),
        ("src_as=64500", ("src_as", "64500")),
        ("Exporter = 192.0.2.1", ("exporter", "192.0.2.1")),
    ],
)
def test_a_filter_is_recognised(text: str, expected: tuple[str, str]) -> None:
    assert read_typed(text) == expected


@pytest.mark.parametrize(
    "text", ["", "hello", "nothing=1", "src_as=x", "host=", "tcp/99999", "70000"]
)
def test_what_is_none_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ReportError):
        read_typed(text)


@given(st.text(max_size=60))
def test_whatever_is_typed_gives_a_filter_that_reports_accept_or_a_sentence(text: str) -> None:
    try:
        name, value = read_typed(text)
    except ReportError:
        return
    condition(name, [value])

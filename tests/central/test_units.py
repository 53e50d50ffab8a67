"""Numbers as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.central.pages import units


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0, "bit/s", "0 bit/s"),
        (1, "bit/s", "1.00 bit/s"),
        (999, "bit/s", "999 bit/s"),
        (999.6, "bit/s", "1.00 kbit/s"),
        (12_345, "bit/s", "12.3 kbit/s"),
        (1_234_567_890, "bit/s", "1.23 Gbit/s"),
        (9.996e9, "bit/s", "10.0 Gbit/s"),
        (-2_500_000, "bit/s", "-2.50 Mbit/s"),
        (21_800, "packets/s", "21.8 k packets/s"),
        (300, "flows/s", "300 flows/s"),
        (0.25, "fps", "0.25 fps"),
        (0.0004, "bit/s", "0.0004 bit/s"),
        (5e21, "B", "5000 EB"),
    ],
)
def test_a_number_gets_three_digits_and_a_unit_that_fits(
    value: float, unit: str, expected: str
) -> None:
    assert units.with_unit(value, unit) == expected


@given(st.floats(1e-3, 1e20))
def test_what_is_written_is_what_it_was(value: float) -> None:
    number, prefix = units.with_unit(value, "|").split(" ")
    power = units.SI.index(prefix.removesuffix("|"))

    assert float(number) * 1000.0**power == pytest.approx(value, rel=0.03)


def test_bytes_become_bits_and_others_stay() -> None:
    assert units.rate("bytes", 75_000, 60) == 10_000
    assert units.rate("packets", 600, 60) == 10
    assert units.rate("flows", 600, 0) == 0


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        (0, 10, "0 %"),
        (1, 0, "0 %"),
        (1, 3, "33.3 %"),
        (1, 10_000, "<0.1 %"),
        (10, 10, "100 %"),
        (1004, 1000, "100 %"),
        (1006, 1000, "101 %"),
        (25, 10, "250 %"),
    ],
)
def test_shares(part: float, whole: float, expected: str) -> None:
    assert units.share(part, whole) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.4, "now"), (45, "45 s"), (150, "2 min"), (3 * 3600, "3 h"), (5 * 86_400, "5 d")],
)
def test_ages(seconds: float, expected: str) -> None:
    assert units.age(seconds) == expected

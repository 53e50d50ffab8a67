"""What passes now, from the live rates."""

from collections.abc import Sequence

import pytest

from services.central.live.windows import RATES_MAX, LiveRate, LiveSnapshot, State
from services.central.pages.rates_now import Rates, rates_of, whole_rate


def _snapshot(state: State = "live") -> LiveSnapshot:
    rates = (
        LiveRate("192.0.2.1", None, "in", 60, 1000, 10, 2, 125_000, 1000),
        LiveRate("192.0.2.1", None, "out", 60, 1000, 10, 2, 125_000, 1000),
        LiveRate("192.0.2.1", 7, "in", 60, 1000, 10, 2, 125_000, 1000),
        LiveRate("192.0.2.2", None, "in", 60, 1, 1, 1, 1, 1),
        LiveRate("192.0.2.1", None, "in", 10, 9, 9, 9, 9, 9),
    )
    return LiveSnapshot(1_800_000_000_000, 0.5, state, rates)


def test_rates_are_scaled_and_of_the_last_minute() -> None:
    rates = rates_of(_snapshot(), "bytes")

    assert rates is not None
    assert rates.of(("192.0.2.1", None, "in")) == 1_000_000
    assert whole_rate(rates, {}) == 1_000_008
    assert whole_rate(rates, {"exporter": ["192.0.2.1"]}) == 1_000_000
    by_key = {
        ("192.0.2.1", None, "in"): 2,
        ("192.0.2.1", None, "out"): 2,
        ("192.0.2.1", 7, "in"): 2,
        ("192.0.2.2", None, "in"): 1,
    }
    assert rates_of(_snapshot(), "flows") == Rates(by_key)


def test_what_is_not_known_is_not_shown() -> None:
    assert rates_of(_snapshot("catching up"), "bytes") is None
    assert whole_rate(None, {}) is None
    rates = rates_of(_snapshot(), "bytes")
    assert whole_rate(rates, {"host": ["10.0.0.1"]}) is None
    assert whole_rate(rates, {"exporter": ["192.0.2.0/24"]}) is None


def test_what_has_no_rate_passes_nothing_unless_a_limit_left_it_out() -> None:
    many = [LiveRate("192.0.2.1", n, "in", 60, 1, 1, 1, 1, 1) for n in range(RATES_MAX)]
    whole = LiveRate("192.0.2.1", None, "in", 60, 1000, 1000, 1000, 1000, 1000)
    complete = rates_of(_live([whole, *many]), "bytes")
    cut = rates_of(_live([whole, *many], left_out=1), "bytes")

    assert complete is not None
    assert complete.of(("192.0.2.1", RATES_MAX, "in")) == 0
    assert cut is not None
    assert cut.of(("192.0.2.1", RATES_MAX, "in")) is None
    assert cut.of(("192.0.2.9", None, "in")) == 0
    assert whole_rate(cut, {}) == 8000


def test_without_all_exporters_their_sum_is_not_known() -> None:
    many = [LiveRate(f"2001:db8::{n:x}", None, "in", 60, 1, 1, 1, 1, 1) for n in range(RATES_MAX)]
    rates = rates_of(_live(many, left_out=7), "bytes")

    assert whole_rate(rates, {}) is None
    assert whole_rate(rates, {"exporter": ["2001:db8::1"]}) == 8
    assert whole_rate(rates, {"exporter": ["2001:db8::1", "192.0.2.1"]}) is None


def test_a_minute_of_which_seconds_had_to_go_is_not_known() -> None:
    assert rates_of(_live([LiveRate("192.0.2.1", None, "in", 10, 9, 9, 9, 9, 9)]), "bytes") is None
    assert rates_of(_live([]), "bytes") == Rates({})


@pytest.mark.parametrize("exporter", ["2001:DB8::1", "2001:db8:0::1"])
def test_an_exporter_is_found_however_its_address_is_written(exporter: str) -> None:
    rates = Rates({("2001:db8::1", None, "in"): 8.0, ("192.0.2.1", None, "in"): 1.0})

    assert whole_rate(rates, {"exporter": [exporter]}) == 8
    assert whole_rate(rates, {"exporter": ["::ffff:192.0.2.1", "192.0.2.1"]}) == 1


def _live(rates: Sequence[LiveRate], *, left_out: int = 0) -> LiveSnapshot:
    return LiveSnapshot(1_800_000_000_000, 0.5, "live", tuple(rates), left_out=left_out)

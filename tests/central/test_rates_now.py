"""What passes now, from the live rates."""

from services.central.live.windows import LiveRate, LiveSnapshot, State
from services.central.pages.rates_now import rates_of, whole_rate


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
    assert rates["192.0.2.1", None, "in"] == 1_000_000
    assert whole_rate(rates, {}) == 1_000_008
    assert whole_rate(rates, {"exporter": ["192.0.2.1"]}) == 1_000_000
    assert rates_of(_snapshot(), "flows") == {
        ("192.0.2.1", None, "in"): 2,
        ("192.0.2.1", None, "out"): 2,
        ("192.0.2.1", 7, "in"): 2,
        ("192.0.2.2", None, "in"): 1,
    }


def test_what_is_not_known_is_not_shown() -> None:
    assert rates_of(_snapshot("catching up"), "bytes") is None
    assert whole_rate(None, {}) is None
    rates = rates_of(_snapshot(), "bytes")
    assert whole_rate(rates, {"host": ["10.0.0.1"]}) is None
    assert whole_rate(rates, {"exporter": ["192.0.2.0/24"]}) is None

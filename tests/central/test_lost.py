"""What a takeover lost, in each standing of the proof."""

import pytest

from services.central.pages.lost import DASH, Compared, Lost, Span, compared_by, lost, span_of
from services.central.proof.compare import Difference, Part
from services.central.proof.ledger import HORIZON_MS, Ledger
from shared.digest_records import HOUR, MINUTE, Passed, Period, PeriodDigest, RawSums, RollupSums

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
HALF_PAST_MS = 1_700_058_600_000
"""2023-11-15 14:30 UTC."""
AT_MS = HALF_PAST_MS + 20_000
NOW_MS = AT_MS + HOUR_MS
EQUAL = Lost("0", "From a minute before it until a minute after, all centrals are proven equal")
WHOLE = {"b": HALF_PAST_MS + 2 * MINUTE_MS}


def differs(minute: int, *, stream: int = 1, central: str = "b") -> Difference:
    """Return a difference so many minutes after half past."""
    period = Period(stream, MINUTE, HALF_PAST_MS + minute * MINUTE_MS)
    return Difference(period=period, central=central, parts=(Part.RAW,))


def hour_differs(*, stream: int = 1) -> Difference:
    period = Period(stream, HOUR, HALF_PAST_MS // HOUR_MS * HOUR_MS)
    return Difference(period=period, central="b", parts=(Part.ROLLUPS,))


def shown(compared: Compared, *, took_s: float | None = 0.3, now_ms: int = NOW_MS) -> Lost:
    return lost(AT_MS, took_s, compared, now_ms)


@pytest.mark.parametrize(
    ("took_s", "starts", "ends"),
    [
        (None, -1, 2),
        (0.3, -1, 2),
        pytest.param(20.0, -1, 2, id="nobody acted from half past on"),
        pytest.param(20.1, -2, 2, id="nor in the minute before"),
        pytest.param(40.0, -2, 3, id="nor before the next minute"),
    ],
)
def test_a_takeover_is_judged_by_one_minute_more_on_both_sides(
    took_s: float | None, starts: int, ends: int
) -> None:
    assert span_of(AT_MS, took_s) == Span(
        HALF_PAST_MS + starts * MINUTE_MS, HALF_PAST_MS + ends * MINUTE_MS
    )


def test_it_lost_nothing_once_all_its_minutes_are_compared_and_equal() -> None:
    assert shown(Compared(WHOLE)) == EQUAL
    assert shown(Compared({**WHOLE, "c": NOW_MS})) == EQUAL


def test_until_then_it_is_not_proven_and_says_for_whom_it_waits() -> None:
    late = {"b": NOW_MS, "c": WHOLE["b"] - MINUTE_MS}
    assert shown(Compared(late)) == Lost(
        "not proven yet",
        "c is compared until 2023-11-15 14:31 UTC, and this needs 2023-11-15 14:32 UTC",
        "quiet",
    )
    assert shown(Compared({**WHOLE, "c": 0})) == Lost(
        "not proven yet", "Nothing of c is compared yet", "quiet"
    )
    assert shown(Compared()) == Lost(
        "not proven yet", "There is no other central to compare with", "quiet"
    )


@pytest.mark.parametrize("minute", [-1, 0, 1])
def test_where_its_minutes_differ_now_they_are_named(minute: int) -> None:
    assert shown(Compared(WHOLE, [differs(minute)])) == Lost(
        "differs",
        f"Centrals differ in the minute 2023-11-15 14:{30 + minute} UTC: "
        "`steadflow standby repair`",
        "bad",
    )


@pytest.mark.parametrize("minute", [-2, 2])
def test_a_difference_of_another_time_says_nothing_about_it(minute: int) -> None:
    assert shown(Compared(WHOLE, [differs(minute)])) == EQUAL
    assert shown(Compared({"b": 0}, [differs(minute)])).text == "not proven yet"


def test_of_many_minutes_a_few_are_named_and_one_of_several_streams_once() -> None:
    many = [differs(minute, stream=stream) for minute in range(5) for stream in (1, 2)]
    assert shown(Compared(WHOLE, many), took_s=300.0).title == (
        "Centrals differ in the minute 2023-11-15 14:30 UTC, the minute 2023-11-15 14:31 UTC, "
        "the minute 2023-11-15 14:32 UTC and 2 more: `steadflow standby repair`"
    )


def test_an_hour_that_differs_counts_while_none_of_its_minutes_says_where() -> None:
    assert shown(Compared(WHOLE, [hour_differs()])).title == (
        "Centrals differ in the hour 2023-11-15 14:00 UTC: `steadflow standby repair`"
    )
    assert shown(Compared(WHOLE, [differs(20), hour_differs()])) == EQUAL
    other_stream = [differs(20, stream=2), hour_differs()]
    assert shown(Compared(WHOLE, other_stream)).text == "differs"


def test_beyond_what_the_proof_remembers_it_is_not_compared_any_more() -> None:
    begins_ms = span_of(AT_MS, 0.3).starts_ms
    assert shown(Compared(WHOLE), now_ms=begins_ms + HORIZON_MS) == EQUAL
    assert shown(Compared(WHOLE), now_ms=begins_ms + HORIZON_MS + 1) == Lost(
        DASH, "Not compared any more: digests are compared for 7 days"
    )


def test_only_centrals_of_the_cluster_are_asked() -> None:
    all_of_them = Compared({"b": 5, "left": 0}, [differs(0), differs(1, central="left")])

    assert all_of_them.among("a", ["a", "b", "new"]) == Compared(
        {"b": 5, "new": 0}, [all_of_them.differences[0]]
    )
    own = Compared({}, [differs(0, central="a")])
    assert own.among("a", ["a"]) == own


def test_a_difference_does_not_hold_up_what_is_compared_behind_it() -> None:
    ledger = Ledger("a")
    for central, size in (("a", 1), ("b", 2)):
        ledger.take(
            PeriodDigest(
                central=central,
                period=differs(-9).period,
                raw=RawSums(1, size, 1, size),
                digest_version=1,
                rollups=RollupSums(1, size),
                rollup_version=1,
            )
        )
        until_ms = WHOLE["b"]
        ledger.take(Passed(central=central, stream=1, minutes_until_ms=until_ms, hours_until_ms=0))
    compared = compared_by(ledger)

    assert (compared.until_ms, len(compared.differences)) == (WHOLE, 1)
    assert ledger.proven()[0].until_ms < AT_MS
    assert shown(compared) == EQUAL

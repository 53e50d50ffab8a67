"""The scrub against the retention, and which periods are still to be published."""

from dataclasses import replace
from datetime import date

import pytest

from services.central.progress import Progress
from services.central.proof.checking import check_periods, closed_records, mismatch
from services.central.proof.publishing import STEP_MS, owed, passed_of
from services.central.store import FlowStore
from services.central.store.proof_rows import NOTHING
from services.central.store.rollups import Level
from shared.digest_records import (
    HOUR,
    MINUTE,
    Found,
    Passed,
    Period,
    PeriodDigest,
    RawSums,
    RollupSums,
)
from tests.central.flow_values import DAY_MS, HOUR_MS, MINUTE_MS, flow_value, insert
from tests.central.flow_values import HOUR as AT_MS

RECORD = PeriodDigest(
    central="central-a",
    period=Period(1, MINUTE, AT_MS),
    raw=RawSums(20, 3000, 40, 77),
    digest_version=1,
    rollups=RollupSums(50, 99),
    rollup_version=1,
)


def closed(store: FlowStore, *starts_ms: int) -> list[PeriodDigest]:
    for number, start_ms in enumerate(starts_ms):
        insert(store, flow_value(first=1 + 20 * number, at_ms=start_ms))
        store.close_minute(1, start_ms)
    end_ms = max(starts_ms) + MINUTE_MS
    return closed_records(store.proof, "central-a", Level.MINUTE, 1, min(starts_ms), end_ms)


def test_days_that_were_dropped_are_no_change(store: FlowStore) -> None:
    expected = closed(store, AT_MS, AT_MS + DAY_MS)
    unchanged: dict[Period, Found | None] = {each.period: None for each in expected}
    assert check_periods(store.proof, 1, expected, raw_from_ms=0) == unchanged
    day = date.fromisoformat("2023-11-15")
    assert store.drop_raw_before(day)
    assert check_periods(store.proof, 1, expected, raw_from_ms=0) == unchanged
    # With no day left only the retention says what must be there.
    assert store.drop_raw_before(date.fromisoformat("2023-11-16"))
    kept_from_ms = AT_MS // DAY_MS * DAY_MS + 2 * DAY_MS
    assert check_periods(store.proof, 1, expected, raw_from_ms=kept_from_ms) == unchanged
    found = check_periods(store.proof, 1, expected, raw_from_ms=0)
    assert [each.raw for each in found.values() if each is not None] == [NOTHING, NOTHING]


def test_a_day_that_is_gone_between_others_is_found(store: FlowStore) -> None:
    expected = closed(store, AT_MS, AT_MS + DAY_MS, AT_MS + 2 * DAY_MS)
    store._work.command("ALTER TABLE flows DROP PARTITION '2023-11-15'")
    found = check_periods(store.proof, 1, expected, raw_from_ms=0)
    assert [each is not None for each in found.values()] == [False, True, False]


def test_the_marker_carries_what_the_rows_sum_up_to(store: FlowStore) -> None:
    (record,) = closed(store, AT_MS)
    assert store.proof.raw(1, AT_MS, AT_MS + HOUR_MS) == {AT_MS: record.raw}
    computed = store.rollup_digest(Level.MINUTE, 1, AT_MS)
    assert record.rollups == RollupSums(computed.rows, computed.digest)
    assert sum(each.flows for each in record.exporters) == record.raw.flows
    assert [each.exporter for each in record.exporters] == ["0.0.0.1", "0.0.0.2", "0.0.0.3"]


@pytest.mark.parametrize(
    ("raw", "rollups", "found"),
    [
        (RECORD.raw, RECORD.rollups, None),
        (None, RECORD.rollups, None),
        (RECORD.raw._replace(digest=1), RECORD.rollups, Found(raw=RECORD.raw._replace(digest=1))),
        (None, RollupSums(50, 1), Found(rollups=RollupSums(50, 1))),
        (NOTHING, RollupSums(0, 0), Found(raw=NOTHING, rollups=RollupSums(0, 0))),
    ],
)
def test_only_what_is_not_as_it_was_closed_is_found(
    raw: RawSums | None, rollups: RollupSums, found: Found | None
) -> None:
    assert mismatch(RECORD, raw, rollups) == found


def test_digests_over_columns_of_another_release_are_left_to_the_counts() -> None:
    newer = replace(RECORD, digest_version=9, rollup_version=9)
    assert mismatch(newer, RECORD.raw._replace(digest=1), RollupSums(50, 1)) is None
    assert mismatch(newer, RECORD.raw._replace(flows=19), RollupSums(50, 1)) is not None
    assert mismatch(newer, RECORD.raw, RollupSums(49, 99)) is not None


def progress(**changes: object) -> Progress:
    begun = Progress(
        stream=1,
        worker="c/0",
        partition=0,
        started_at_ms=AT_MS,
        minutes_until_ms=AT_MS + 61 * MINUTE_MS,
        hours_until_ms=AT_MS + HOUR_MS,
        newest_ms=AT_MS + 61 * MINUTE_MS + 500,
    )
    return replace(begun, **changes)  # type: ignore[arg-type]  # fields of Progress


def test_a_stream_is_passed_as_far_as_it_is_closed_and_whole_once_it_ended() -> None:
    alive = passed_of("a", progress())
    assert (alive.minutes_until_ms, alive.hours_until_ms, alive.ended) == (
        AT_MS + 61 * MINUTE_MS,
        AT_MS + HOUR_MS,
        False,
    )
    ended = passed_of("a", progress(ended=True))
    assert (ended.minutes_until_ms, ended.hours_until_ms, ended.ended) == (
        AT_MS + 62 * MINUTE_MS,
        AT_MS + 2 * HOUR_MS,
        True,
    )
    closing = progress(ended=True, open_hours=frozenset({AT_MS + HOUR_MS}))
    assert not passed_of("a", closing).ended


def test_what_was_closed_since_is_owed_in_bounded_steps() -> None:
    now = Passed(
        central="a", stream=1, minutes_until_ms=AT_MS + 61 * MINUTE_MS, hours_until_ms=AT_MS
    )
    before = replace(now, minutes_until_ms=AT_MS + 60 * MINUTE_MS)
    assert list(owed(before, now, oldest_ms=0)) == [
        (MINUTE, AT_MS + 60 * MINUTE_MS, AT_MS + 61 * MINUTE_MS)
    ]
    assert list(owed(now, now, oldest_ms=0)) == []
    spans = list(owed(None, now, oldest_ms=AT_MS - 7 * DAY_MS))
    minutes = [span for span in spans if span.level == MINUTE]
    assert minutes[0].from_ms == AT_MS - 7 * DAY_MS
    assert minutes[-1].to_ms == now.minutes_until_ms
    assert all(span.to_ms - span.from_ms <= STEP_MS for span in minutes)
    hours = [span for span in spans if span.level == HOUR]
    assert (hours[0].from_ms, hours[-1].to_ms) == (AT_MS - 7 * DAY_MS, AT_MS)

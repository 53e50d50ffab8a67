"""The fold over every central's digests: what differs, who is wrong, how far all is proven."""

from dataclasses import replace

import pytest

from services.central.proof.alarms import said
from services.central.proof.choosing import RepairRefused, choose
from services.central.proof.compare import Difference, Part
from services.central.proof.ledger import SILENT_MS, Copy, Ledger, Proven
from shared.digest_records import (
    HOUR,
    MINUTE,
    DigestRecord,
    ExporterDigest,
    Found,
    Gone,
    Left,
    Passed,
    Period,
    PeriodDigest,
    RawSums,
    RollupSums,
)

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
AT_MS = 1_700_002_800_000
HERE, THERE = "central-b", "central-a"


def minute(number: int, stream: int = 1) -> Period:
    return Period(stream, MINUTE, AT_MS + number * MINUTE_MS)


def held(central: str, period: Period, **changes: object) -> PeriodDigest:
    record = PeriodDigest(
        central=central,
        period=period,
        raw=RawSums(20, 3000, 40, 77),
        digest_version=1,
        rollups=RollupSums(50, 99),
        rollup_version=1,
        exporters=(ExporterDigest("192.0.2.1", 12, 70), ExporterDigest("192.0.2.2", 8, 7)),
    )
    return replace(record, **changes)  # type: ignore[arg-type]  # fields of PeriodDigest


def passed(central: str, until: int, stream: int = 1, *, ended: bool = False) -> Passed:
    return Passed(
        central=central,
        stream=stream,
        minutes_until_ms=AT_MS + until * MINUTE_MS,
        hours_until_ms=AT_MS,
        ended=ended,
    )


def ledger_of(*records: DigestRecord) -> Ledger:
    ledger = Ledger(HERE)
    for record in records:
        ledger.take(record)
    return ledger


def both(*numbers: int, until: int) -> list[DigestRecord]:
    """Return what two equal centrals say."""
    found: list[DigestRecord] = []
    for central in (HERE, THERE):
        found += [held(central, minute(number)) for number in numbers]
        found.append(passed(central, until))
    return found


OTHER_BYTES = held(
    THERE,
    minute(2),
    raw=RawSums(20, 3001, 40, 78),
    exporters=(ExporterDigest("192.0.2.1", 12, 71), ExporterDigest("192.0.2.2", 8, 7)),
)


def test_equal_minutes_are_proven() -> None:
    ledger = ledger_of(*both(0, 1, 2, until=3))
    assert ledger.differences() == []
    assert ledger.proven() == [Proven(THERE, AT_MS + 3 * MINUTE_MS, 0)]


def test_a_difference_names_minute_exporter_and_part_and_bounds_what_is_proven() -> None:
    ledger = ledger_of(*both(0, 1, until=3), held(HERE, minute(2)), OTHER_BYTES)
    (difference,) = ledger.differences()
    assert difference == Difference(
        period=minute(2), central=THERE, parts=(Part.RAW,), exporters=("192.0.2.1",)
    )
    assert ledger.proven() == [Proven(THERE, AT_MS + 2 * MINUTE_MS, 1)]
    text = said(difference)
    assert "minute=2023-11-14T23:02:00.000Z" in text
    assert "exporters=192.0.2.1 " in text


def test_roll_ups_alone_differ_too() -> None:
    ledger = ledger_of(*both(1, until=2), held(THERE, minute(1), rollups=RollupSums(50, 98)))
    (difference,) = ledger.differences()
    assert difference.parts == (Part.ROLLUPS,)


@pytest.mark.parametrize("doubled", [RawSums(40, 6000, 80, 154), RawSums(40, 6000, 80, 0)])
def test_a_doubled_batch_differs_even_where_its_hashes_cancel_out(doubled: RawSums) -> None:
    assert ledger_of(*both(1, until=2), held(THERE, minute(1), raw=doubled)).differences()


def test_digests_over_other_columns_are_compared_by_counts_alone() -> None:
    newer = held(
        THERE, minute(1), raw=RawSums(20, 3000, 40, 5), digest_version=2, rollups=RollupSums(50, 5)
    )
    assert ledger_of(*both(1, until=2), newer).differences() == []
    assert ledger_of(*both(1, until=2), replace(newer, digest_version=1)).differences()
    fewer = replace(newer, raw=RawSums(19, 3000, 40, 5))
    assert ledger_of(*both(1, until=2), fewer).differences()


def test_what_only_one_side_has_differs_once_the_other_is_past_it() -> None:
    one_sided: list[DigestRecord] = [held(HERE, minute(1)), passed(HERE, 2)]
    assert ledger_of(*one_sided, passed(THERE, 1)).differences() == []
    (difference,) = ledger_of(*one_sided, passed(THERE, 2)).differences()
    assert difference.parts == (Part.MISSING,)
    assert difference.exporters == ("192.0.2.1", "192.0.2.2")
    assert ledger_of(*one_sided, passed(THERE, 1, ended=True)).differences()
    (lacking,) = ledger_of(held(THERE, minute(1)), passed(HERE, 2)).differences()
    assert (lacking.central, lacking.parts) == (THERE, (Part.MISSING,))


def test_an_hour_has_a_bound_of_its_own() -> None:
    hour = Period(1, HOUR, AT_MS)
    one_sided: list[DigestRecord] = [held(HERE, hour), passed(THERE, 60)]
    assert ledger_of(*one_sided).differences() == []
    later = replace(passed(THERE, 60), hours_until_ms=AT_MS + HOUR_MS)
    assert ledger_of(*one_sided, later).differences()


def test_in_any_order_the_records_say_the_same() -> None:
    one_sided: list[DigestRecord] = [held(HERE, minute(4)), held(THERE, minute(5))]
    records = [*both(0, 1, until=6), held(HERE, minute(2)), OTHER_BYTES, *one_sided]
    expected = ledger_of(*records)
    assert len(expected.differences()) == 3
    for at in range(len(records)):
        turned = ledger_of(*records[at:], *records[:at])
        assert turned.differences() == expected.differences()
        assert turned.proven() == expected.proven()


def test_whose_scrub_found_something_is_wrong() -> None:
    found = Found(raw=RawSums(20, 3001, 40, 78), exporters=("192.0.2.1",))
    changed = held(HERE, minute(1), found=found)
    (difference,) = ledger_of(*both(1, until=2), changed).differences()
    assert (difference.central, difference.wrong) == (HERE, (HERE,))
    assert difference.exporters == ("192.0.2.1",)
    alone = ledger_of(held(HERE, minute(1)), changed)
    assert [each.wrong for each in alone.differences()] == [(HERE,)]
    ledger = ledger_of(*both(1, until=2), changed, held(HERE, minute(1), repair=1))
    assert ledger.differences() == []
    assert ledger.proven() == [Proven(THERE, AT_MS + 2 * MINUTE_MS, 0)]


def test_a_found_change_and_a_difference_are_one_entry() -> None:
    found = Found(raw=RawSums(20, 3002, 40, 79), exporters=("192.0.2.2",))
    ledger = ledger_of(*both(2, until=3), replace(OTHER_BYTES, found=found))
    (difference,) = ledger.differences()
    assert (difference.wrong, difference.exporters) == ((THERE,), ("192.0.2.2",))


def test_whom_the_log_refutes_is_wrong() -> None:
    ledger = ledger_of(*both(2, until=3), held(HERE, minute(2), checked=True), OTHER_BYTES)
    assert [each.wrong for each in ledger.differences()] == [(THERE,)]
    both_checked = replace(OTHER_BYTES, checked=True)
    ledger.take(both_checked)
    assert [each.wrong for each in ledger.differences()] == [()]
    only_here = ledger_of(held(HERE, minute(1), checked=True), passed(THERE, 2))
    assert [each.wrong for each in only_here.differences()] == [(THERE,)]


def test_a_minute_taken_back_is_no_difference_any_more() -> None:
    ledger = ledger_of(held(HERE, minute(1)), passed(HERE, 2), passed(THERE, 2))
    assert ledger.differences()
    ledger.take(Gone(HERE, minute(1)))
    assert ledger.differences() == []


def test_every_other_central_is_compared() -> None:
    third = [held("central-c", minute(number)) for number in (0, 1)]
    ledger = ledger_of(*both(0, 1, 2, until=3), *third, passed("central-c", 2))
    assert ledger.proven() == [
        Proven(THERE, AT_MS + 3 * MINUTE_MS, 0),
        Proven("central-c", AT_MS + 2 * MINUTE_MS, 0),
    ]
    ledger.take(passed("central-c", 3))
    assert [each.central for each in ledger.differences()] == ["central-c"]


def test_proven_is_the_slower_side_and_the_slower_stream() -> None:
    ledger = ledger_of(*both(0, 1, 2, until=3), passed(HERE, 4))
    assert ledger.proven()[0].until_ms == AT_MS + 3 * MINUTE_MS
    for central in (HERE, THERE):
        ledger.take(passed(central, 2, stream=2))
    assert ledger.proven()[0].until_ms == AT_MS + 2 * MINUTE_MS
    ledger.take(held(HERE, minute(0, stream=3)))
    ledger.take(passed(HERE, 3, stream=3))
    assert ledger.proven()[0].until_ms == AT_MS


def test_a_stream_that_is_silent_on_both_sides_holds_nothing_up() -> None:
    late = SILENT_MS // MINUTE_MS + 1
    ledger = ledger_of(*both(0, until=1))
    for central in (HERE, THERE):
        ledger.take(passed(central, late + 1, stream=2))
    assert ledger.proven()[0].until_ms == AT_MS + (late + 1) * MINUTE_MS
    ledger.take(passed(HERE, 2))
    assert ledger.proven()[0].until_ms == AT_MS + MINUTE_MS


def test_ended_streams_hold_nothing_up() -> None:
    ledger = ledger_of(passed(HERE, 1, ended=True), passed(THERE, 1, ended=True))
    assert ledger.proven() == [Proven(THERE, AT_MS + MINUTE_MS, 0)]
    for central in (HERE, THERE):
        ledger.take(passed(central, 5, stream=2))
    assert ledger.proven() == [Proven(THERE, AT_MS + 5 * MINUTE_MS, 0)]


def test_what_is_older_is_forgotten_and_stays_so() -> None:
    ledger = ledger_of(*both(0, 1, 2, until=3), replace(OTHER_BYTES, period=minute(0)))
    assert ledger.differences()
    ledger.forget(AT_MS + MINUTE_MS)
    assert ledger.differences() == []
    assert set(ledger.own) == {minute(1), minute(2)}
    ledger.take(replace(OTHER_BYTES, period=minute(0)))
    assert ledger.differences() == []
    ledger.forget(AT_MS + HOUR_MS)
    assert (ledger.own, ledger.others) == ({}, [])


def test_only_the_newest_lists_of_exporters_are_kept() -> None:
    ledger = Ledger(HERE, lists_max=3)
    for number in range(4):
        ledger.take(held(HERE, minute(number)))
    kept = {period: len(record.exporters) for period, record in ledger.own.items()}
    assert kept == {minute(0): 0, minute(1): 2, minute(2): 2, minute(3): 2}
    ledger.take(OTHER_BYTES)
    ledger.take(replace(OTHER_BYTES, period=minute(0)))
    unknown, known = ledger.differences()
    assert (unknown.exporters, unknown.exporters_more) == ((), 2)
    assert (known.exporters, known.exporters_more) == (("192.0.2.1",), 0)


def test_equal_minutes_need_no_lists() -> None:
    ledger = ledger_of(*both(0, 1, until=2))
    assert [record.exporters for record in ledger.own.values()] == [(), ()]


def test_beyond_the_listed_exporters_only_their_number_is_known() -> None:
    mine = held(HERE, minute(1), exporters_more=30)
    theirs = held(THERE, minute(1), exporters_more=30, raw=RawSums(20, 3001, 40, 78))
    (difference,) = ledger_of(mine, theirs).differences()
    assert (difference.exporters, difference.exporters_more) == ((), 30)


def test_all_that_may_be_wrong_here_is_chosen_and_an_hour_goes_with_its_minute() -> None:
    hour = Period(1, HOUR, AT_MS)
    lone_hour = Period(2, HOUR, AT_MS)
    found = Found(rollups=RollupSums(1, 1))
    ledger = ledger_of(
        *both(2, until=3),
        OTHER_BYTES,
        *(held(HERE, period, found=found) for period in (hour, lone_hour)),
    )
    assert choose(ledger, None) == [lone_hour, minute(2)]
    assert choose(ledger, minute(9)) == [minute(9)]


def test_what_is_wrong_elsewhere_is_refused_here() -> None:
    with pytest.raises(RepairRefused, match="nothing differs"):
        choose(ledger_of(*both(1, until=2)), None)
    found = Found(rollups=RollupSums(1, 1))
    ledger = ledger_of(*both(1, until=2), held(THERE, minute(1), found=found))
    with pytest.raises(RepairRefused, match="wrong on central-a"):
        choose(ledger, None)


PRIMARY, THIRD = "central-a", "central-c"
PROVEN_MS = AT_MS + 3 * MINUTE_MS
FOUND = Found(rollups=RollupSums(1, 1))


def of_third(**changes: object) -> list[PeriodDigest | Passed]:
    return [held(THIRD, minute(number), **changes) for number in (0, 1, 2)] + [passed(THIRD, 3)]


OTHER = {"raw": RawSums(20, 3001, 40, 78)}


@pytest.mark.parametrize(
    "wrong", [OTHER, {"found": FOUND}, OTHER | {"found": FOUND}], ids=["differs", "changed", "both"]
)
def test_a_third_central_that_is_wrong_holds_no_copy_up_and_stays_an_alarm(
    wrong: dict[str, object],
) -> None:
    ledger = ledger_of(*both(0, 1, 2, until=3), *of_third(**wrong))
    assert ledger.copy_of(PRIMARY) == Copy(PROVEN_MS, 0)
    assert len(ledger.differences()) == 3
    # As long as the primary is not known, no other central may differ for an unknown reason.
    assert ledger.copy_of("") == ledger.copy_of(HERE) == Copy(*(
        (PROVEN_MS, 0) if "found" in wrong else (AT_MS, 3)
    ))  # fmt: skip


def test_a_copy_that_is_wrong_itself_is_not_proven() -> None:
    equal = both(0, 1, until=3)
    unlike = ledger_of(*equal, held(HERE, minute(2)), OTHER_BYTES, *of_third())
    assert unlike.copy_of(PRIMARY) == Copy(AT_MS + 2 * MINUTE_MS, 1)
    # Equal to a third central is not enough, nor is what the third alone shows to be wrong here.
    as_third = ledger_of(*both(0, 1, 2, until=3), *of_third(**OTHER, checked=True))
    assert as_third.copy_of(PRIMARY) == Copy(AT_MS, 3)
    changed = ledger_of(*both(0, 1, 2, until=3), held(HERE, minute(1), found=FOUND))
    assert changed.copy_of(PRIMARY) == Copy(AT_MS + MINUTE_MS, 1)
    # Nothing is known of a primary that told nothing.
    assert ledger_of(*both(0, 1, 2, until=3)).copy_of("central-x") == Copy(0, 0)


def test_a_primary_that_is_known_to_be_wrong_holds_no_copy_up() -> None:
    ledger = ledger_of(*both(0, 1, until=3), held(HERE, minute(2), checked=True), OTHER_BYTES)
    assert ledger.copy_of(PRIMARY) == Copy(PROVEN_MS, 0)
    assert ledger.proven() == [Proven(PRIMARY, AT_MS + 2 * MINUTE_MS, 1)]


def test_with_who_left_nothing_is_compared_and_later_records_count() -> None:
    before = [*both(0, 1, 2, until=3), *of_third(**OTHER, found=FOUND)]
    assert len(ledger_of(*before).differences()) == 3

    gone = ledger_of(*before, Left(THIRD))
    assert (gone.differences(), gone.others) == ([], [PRIMARY])

    again = ledger_of(*before, Left(THIRD), *of_third())
    assert (again.differences(), again.others) == ([], [PRIMARY, THIRD])
    wrong_again = ledger_of(*before, Left(THIRD), *of_third(**OTHER))
    assert len(wrong_again.differences()) == 3


def test_who_was_forgotten_itself_begins_with_nothing() -> None:
    before = [*both(0, 1, until=3), held(HERE, minute(2), found=FOUND), OTHER_BYTES]
    ledger = ledger_of(*before, Left(HERE))
    assert (dict(ledger.own), dict(ledger.own_passed), ledger.differences()) == ({}, {}, [])
    for record in (*both(0, 1, until=3), held(HERE, minute(2))):
        if record.central == HERE:
            ledger.take(record)
    assert [each.period for each in ledger.differences()] == [minute(2)]


def test_lists_of_one_that_left_bring_it_not_back() -> None:
    ledger = Ledger(HERE, lists_max=1)
    for record in (held(HERE, minute(0)), held(THERE, minute(1)), Left(THERE)):
        ledger.take(record)
    ledger.take(held(HERE, minute(2)))
    ledger.take(held(HERE, minute(3)))
    assert ledger.others == []

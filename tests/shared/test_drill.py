"""A drill says what it proves: every promise is broken by the difference that breaks it."""

from dataclasses import replace
from typing import Any

import pytest

from shared.drill import (
    BYTES_MAX,
    DRILL_MAX_MS,
    Drill,
    DrillError,
    Kind,
    Look,
    Verdict,
    begin_problem,
    checks,
    decode_drill,
    encode_drill,
    ended,
    is_slow,
    report_json,
    verdict,
)
from shared.drill_page import drill_page

NOW_MS = 1_772_461_800_000
SUMS = {"flows": 10, "bytes": 1_000, "packets": 20}
MORE = {"flows": 12, "bytes": 1_200, "packets": 24}
BEFORE = Look(
    NOW_MS, 7, "a", {"a": "primary", "b": "standby"}, {"a": SUMS, "b": SUMS}, 2, tail="t0"
)
AFTER = Look(
    NOW_MS + 5_000, 9, "b", {"a": "standby", "b": "primary"}, {"a": MORE, "b": MORE}, 2,
    tail="t1", entries=4, takeovers=1, takeover_s=0.2,
)  # fmt: skip
GOOD = Drill(
    "00c0ffee00c0ffee", Kind.SWITCHOVER, "a", NOW_MS, NOW_MS + 5_000, NOW_MS - 300_000,
    NOW_MS + 60_000, BEFORE, AFTER, {"a": MORE, "b": MORE},
)  # fmt: skip
RUNNING = Drill("11c0ffee00c0ffee", Kind.KILL, "command line", NOW_MS)


def test_all_promises_kept_is_passed_with_what_was_measured() -> None:
    assert verdict(GOOD, NOW_MS) is Verdict.PASSED
    assert (GOOD.rto_s, GOOD.lost) == (0.2, 0)
    assert [each.is_kept for each in checks(GOOD)] == [True] * 8


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({"roles": {"a": "primary", "b": "primary"}}, "One primary, another one"),
        ({"roles": {"a": "dead", "b": "primary"}}, "One primary, another one"),
        ({"primary": "a", "roles": BEFORE.roles}, "One primary, another one"),
        ({"epoch": 7}, "The epoch grew"),
        ({"takeovers": 2}, "One takeover"),
        ({"unaware": ["collector-1/0"]}, "Every collector"),
        ({"totals": {"a": MORE, "b": {**SUMS, "flows": 9}}}, "Nothing that was counted"),
        ({"differences": 1}, "Digests"),
        ({"chain": "entry 2 was changed"}, "The history is whole"),
    ],
)
def test_a_difference_is_failed(changes: dict[str, Any], broken: str) -> None:
    drill = replace(GOOD, after=replace(AFTER, **changes))

    (found,) = [each.promise for each in checks(drill) if not each.is_kept]

    assert found.startswith(broken)
    assert verdict(drill, NOW_MS) is Verdict.FAILED
    page = drill_page(drill, NOW_MS)
    assert "FAILED" in page
    assert page.count("BROKEN") == 1


def test_flows_that_one_central_misses_are_records_lost() -> None:
    drill = replace(GOOD, counted={"a": MORE, "b": {**MORE, "flows": 9}})

    assert drill.lost == 3
    assert verdict(drill, NOW_MS) is Verdict.FAILED


def test_one_central_alone_proves_nothing() -> None:
    assert verdict(replace(GOOD, counted={"b": MORE}), NOW_MS) is Verdict.FAILED


def test_an_error_is_failed_though_nothing_was_compared() -> None:
    drill = ended(RUNNING, NOW_MS + 1, "nobody could take over")

    assert verdict(drill, NOW_MS) is Verdict.FAILED
    assert "nobody could take over" in drill_page(drill, NOW_MS)


def test_without_a_look_nothing_is_proven() -> None:
    assert verdict(ended(RUNNING, NOW_MS + 1), NOW_MS) is Verdict.FAILED


def test_one_that_never_ended_is_broken_off() -> None:
    assert verdict(RUNNING, NOW_MS + DRILL_MAX_MS) is Verdict.RUNNING
    assert verdict(RUNNING, NOW_MS + DRILL_MAX_MS + 1) is Verdict.BROKEN_OFF


def test_a_slow_takeover_is_said_and_breaks_no_promise() -> None:
    slow = replace(GOOD, after=replace(AFTER, takeover_s=1.5))

    assert (is_slow(slow), is_slow(GOOD)) == (True, False)
    assert verdict(slow, NOW_MS) is Verdict.PASSED
    assert "Longer than the 0.5 s promised" in drill_page(slow, NOW_MS)


def test_there_is_one_at_a_time() -> None:
    another = replace(RUNNING, id="22c0ffee00c0ffee")

    assert begin_problem([RUNNING], another, NOW_MS) == "another drill runs: there is one at a time"
    assert begin_problem([GOOD], another, NOW_MS) == ""
    assert begin_problem([RUNNING], another, NOW_MS + DRILL_MAX_MS + 1) == ""
    assert begin_problem([RUNNING], ended(RUNNING, NOW_MS + 1), NOW_MS) == ""
    assert begin_problem([GOOD], GOOD, NOW_MS) == "drill 00c0ffee00c0ffee has ended"


def test_a_record_is_read_back_and_a_later_releases_fields_are_left_out() -> None:
    value = encode_drill(GOOD)

    assert decode_drill(value) == GOOD
    assert decode_drill(value[:-1] + b',"added_later":1}') == GOOD
    assert report_json(GOOD, NOW_MS)["checks"][0]["is_kept"] is True


@pytest.mark.parametrize(
    "value",
    [
        None, b"", b"[]", b"{}", b"x" * (BYTES_MAX + 1),
        encode_drill(GOOD).replace(b"00c0ffee00c0ffee", b"../../etc/passwd"),
        encode_drill(GOOD).replace(b'"flows":10', b'"flows":-1'),
        encode_drill(GOOD).replace(b"switchover", b"sabotage"),
    ],
)  # fmt: skip
def test_what_is_no_drill_is_refused(value: bytes | None) -> None:
    with pytest.raises(DrillError):
        decode_drill(value)


def test_names_in_a_report_are_text() -> None:
    page = drill_page(replace(GOOD, run_by="<script>alert(1)</script>"), NOW_MS)

    assert "<script" not in page
    assert "&lt;script&gt;" in page

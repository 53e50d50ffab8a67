"""Time ranges of an address, and moving them."""

import pytest

from services.central.pages.time_range import (
    Absolute,
    Relative,
    TimeRange,
    earlier,
    label,
    later,
    read_range,
    wider,
    write_range,
)

NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("now-3h", "now"), Relative(3 * 3600)),
        (("-3h", "now"), Relative(3 * 3600)),
        (("now-2d", "now-1d"), Relative(2 * 86_400, 86_400)),
        (
            ("2026-03-02T10:00:00Z", "2026-03-02T11:00:00+00:00"),
            Absolute(1772445600000, 1772449200000),
        ),
        (("1772445600000", "1772449200000"), Absolute(1772445600000, 1772449200000)),
    ],
)
def test_a_range_is_read_and_written_back(texts: tuple[str, str], expected: TimeRange) -> None:
    found = read_range(*texts)

    assert found == expected
    assert read_range(*write_range(found)) == expected


@pytest.mark.parametrize(
    "texts",
    [
        ("now", "now"),
        ("now-30s", "now"),
        ("now-1h", "now-2h"),
        ("now-1h", "2026-03-02T10:00:00Z"),
        ("2026-03-02T10:00:00", "2026-03-02T11:00:00"),
        ("2026-03-02T11:00:00Z", "2026-03-02T10:00:00Z"),
        ("now-999999999w", "now"),
        ("now-999999999w", "now-999999998w"),
        ("now-2925w", "now-2924w"),
        ("99999999999999", "99999999999999"),
        ("", ""),
    ],
)
def test_what_is_no_range_is_refused(texts: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_range(*texts)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (Relative(3600), "Last hour"),
        (Relative(4500), "Last 75m"),
        (Relative(7200, 3600), "2h to 1h ago"),
        (Absolute(0, HOUR_MS), None),
    ],
)
def test_a_range_has_the_name_a_person_gives_it(chosen: TimeRange, expected: str | None) -> None:
    assert label(chosen) == expected


def test_zooming_out_doubles_the_range() -> None:
    assert wider(Relative(3600), NOW_MS) == Relative(7200)
    assert wider(Absolute(NOW_MS, NOW_MS + HOUR_MS), NOW_MS) == Absolute(
        NOW_MS - HOUR_MS // 2, NOW_MS + HOUR_MS + HOUR_MS // 2
    )


def test_going_back_and_forth_ends_where_it_began() -> None:
    before = earlier(Relative(3600), NOW_MS)

    assert before == Absolute(NOW_MS - 2 * HOUR_MS, NOW_MS - HOUR_MS)
    assert later(before, NOW_MS) == Relative(3600)
    assert later(earlier(before, NOW_MS), NOW_MS) == before

"""A copy has to end while Kafka still has what comes after it."""

import math

import pytest

from services.standby.copy_time import Copying, Held, Verdict, judge, kept_s, line_of, time_for
from services.standby.preflight import Light

GB = 10**9
HOUR_S = 3600.0


def copying(**changes: float) -> Copying:
    """Return a copy of 100 GB, a tenth of it here after one hour."""
    found = Copying(10 * GB, 100 * GB, 10 * GB, HOUR_S, HOUR_S)
    return found._replace(**changes)  # type: ignore[arg-type]  # numbers of a test


def test_one_that_ends_long_before_is_fine() -> None:
    light, text = judge(copying())

    assert light is Light.GREEN
    assert text == "90.0 GB at 2.8 MB/s take 9 h, and there are 23 h"


@pytest.mark.parametrize(
    ("came_bytes", "light"),
    [
        (10 * GB, Light.GREEN),
        (5 * GB, Light.AMBER),
        (3 * GB, Light.RED),
        (0, Light.AMBER),
    ],
)
def test_the_rate_decides(came_bytes: int, light: Light) -> None:
    assert judge(copying(came_bytes=came_bytes)).light is light


def test_what_kafka_keeps_decides() -> None:
    assert judge(copying(), kafka_s=72 * HOUR_S).light is Light.GREEN
    assert judge(copying(), kafka_s=24 * HOUR_S).light is Light.AMBER
    assert judge(copying(), kafka_s=12 * HOUR_S).light is Light.RED
    gone = judge(copying(age_s=13 * HOUR_S), kafka_s=12 * HOUR_S)
    assert gone == Verdict(Light.RED, gone.text)
    assert "too old" in gone.text


def test_half_of_what_is_left_is_for_the_copy_and_the_primary_keeps_it_for_a_day() -> None:
    assert time_for(HOUR_S, kafka_s=21 * HOUR_S) == 10 * HOUR_S
    assert time_for(HOUR_S, kafka_s=72 * HOUR_S) == 23 * HOUR_S


def test_a_minute_says_nothing_of_hours_and_a_whole_copy_needs_none() -> None:
    slow = copying(came_bytes=1)

    assert judge(slow).light is Light.RED
    assert judge(slow._replace(elapsed_s=59.0)) == Verdict(Light.GREEN, "")
    assert judge(slow._replace(done_bytes=100 * GB)) == Verdict(Light.GREEN, "")


def test_a_limit_that_is_too_low_is_red_before_it_begins() -> None:
    assert line_of(100 * GB, 0).light is Light.GREEN
    assert line_of(100 * GB, 10**7).light is Light.GREEN
    assert line_of(100 * GB, 10**7, kafka_s=HOUR_S).light is Light.RED
    assert line_of(100 * GB, 10**7, kafka_s=float("inf")).light is Light.GREEN
    red = line_of(100 * GB, 10**6)
    assert (red.light, "--rate" in red.remedy) == (Light.RED, True)


HOURS_MS = 72 * 3_600_000


def test_without_a_limit_in_bytes_its_age_is_what_kafka_keeps() -> None:
    begun = [Held(10 * GB, HOUR_S)]

    assert kept_s(HOURS_MS, -1, begun) == 72 * HOUR_S
    assert kept_s(-1, -1, begun) == math.inf
    assert kept_s(-1, 20 * GB) == math.inf


@pytest.mark.parametrize(
    ("held", "hours"),
    [
        ([Held(20 * GB, 5 * HOUR_S)], 5),
        ([Held(22 * GB, 5 * HOUR_S)], 5),
        ([Held(10 * GB, 5 * HOUR_S)], 10),
        ([Held(20 * GB, 9 * HOUR_S), Held(20 * GB, 4 * HOUR_S), Held(0, HOUR_S)], 4),
        ([Held(1_000, 60.0)], 72),
        ([Held(GB, 71 * HOUR_S)], 72),
    ],
    ids=["full", "a segment more", "half full", "the busiest", "just begun", "a quiet one"],
)
def test_with_a_limit_in_bytes_the_first_record_says_how_long(
    held: list[Held], hours: float
) -> None:
    assert kept_s(HOURS_MS, 20 * GB, held) == hours * HOUR_S

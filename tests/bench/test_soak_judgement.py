"""What a soak calls flat, and that it does not call a leak so."""

import random

import pytest

from bench.soak_judgement import FILES, LAG_S, MEMORY, MIB, trend, trends
from bench.soak_report import Process, Sample, report, table

MINUTE_S = 60.0


def noisy(start: float, per_minute: float) -> list[tuple[float, float]]:
    """Twenty minutes of a figure every 10 s, with the ups and downs of a busy process."""
    chance = random.Random(7)
    return [
        (at, start + per_minute * at / MINUTE_S + chance.uniform(-0.03, 0.03) * start)
        for at in range(0, 1_200, 10)
    ]


@pytest.mark.parametrize(
    ("per_minute", "is_flat"), [(0.0, True), (-3.0, True), (0.2, True), (1.5, False), (10.0, False)]
)
def test_memory_that_grows_is_told_from_memory_that_wavers(
    per_minute: float, is_flat: bool
) -> None:
    assert trend(noisy(350 * MIB, per_minute * MIB)).is_flat(MEMORY) is is_flat


def test_a_trend_says_slope_and_ends() -> None:
    found = trend([(0, 10.0), (1_800, 20.0), (3_600, 30.0)])
    assert found.per_hour == pytest.approx(20.0)
    assert found.rise == pytest.approx(20.0)
    assert (found.first, found.last, found.mean, found.largest) == (10.0, 30.0, 20.0, 30.0)


def test_one_high_sample_moves_neither_end() -> None:
    points = [(float(at), 100.0) for at in range(100)]
    points[99] = (99.0, 10_000.0)
    assert trend(points).last == 100.0


def test_small_figures_may_rise_a_little() -> None:
    assert trend([(0, 2.0), (60, 10.0)]).is_flat(FILES)
    assert not trend([(0, 0.0), (60, 5.0)]).is_flat(LAG_S)


def test_what_came_before_the_warm_up_ended_is_not_judged() -> None:
    samples = [(float(at), {"a": 100.0 - at}) for at in range(10)] + [
        (float(at), {"a": 50.0, "b": 1.0}) for at in range(10, 20)
    ]
    found = trends(samples, from_s=10.0)
    assert {name: each.rise for name, each in found.items()} == {"a": 0.0, "b": 0.0}


def test_a_line_needs_two_instants() -> None:
    with pytest.raises(ValueError, match="two instants"):
        trend([(1.0, 2.0), (1.0, 3.0)])


def sample(
    at_s: float, *, pid: int = 7, pss_bytes: int = 100 * MIB, name: str = "central-a"
) -> Sample:
    process = Process(
        pid=pid, rss_bytes=1, pss_bytes=pss_bytes, files=10, threads=3, cpu_s=at_s / 10
    )
    return Sample(
        at_s=at_s,
        processes={name: process},
        lag_s={"central-a": 0.0},
        lag_records={"central-a": 0.0},
        spool_bytes=0.0,
        disk_bytes={},
    )


SENT = {"flows": 1_000, "bytes": 5_000, "packets": 2_000}


def wrong(samples: list[Sample], counted: dict[str, int]) -> list[str]:
    """What does not hold."""
    found = report(samples, {"sender": SENT, "central-a": counted}, {}, warm_up_s=100.0)
    assert found.holds is not any(not finding.holds for finding in found.findings)
    assert "| 100.0 |" in table(found)
    return [finding.what for finding in found.findings if not finding.holds]


def test_a_soak_holds_when_all_is_flat_and_equal() -> None:
    assert wrong([sample(at) for at in range(0, 1_000, 10)], SENT) == []


def test_a_flow_too_few_a_new_process_and_a_leak_are_named() -> None:
    steady = [sample(at) for at in range(0, 1_000, 10)]
    leaking = [
        sample(at, pss_bytes=(100 + max(0, at - 400) // 10) * MIB) for at in range(0, 1_000, 10)
    ]
    restarted = [*steady, sample(1_000, pid=8)]

    assert wrong(steady, SENT | {"flows": 999}) == ["sender and centrals count the same"]
    assert wrong(leaking, SENT) == ["memory of central-a is flat"]
    assert wrong(restarted, SENT) == ["no process was started again"]


@pytest.mark.parametrize(
    ("last_mib", "said"), [(150, []), (900, ["memory of broker is below 768 MiB"])]
)
def test_a_jvm_may_grow_to_its_bound(last_mib: int, said: list[str]) -> None:
    growing = [
        sample(
            at, name="broker", pss_bytes=(100 + (last_mib - 100) * max(0, at - 400) // 600) * MIB
        )
        for at in range(0, 1_010, 10)
    ]
    assert wrong(growing, SENT) == said

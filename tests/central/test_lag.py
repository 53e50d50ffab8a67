"""How far a central says to be behind is no less than it is."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from services.central.lag import STALE_MS, Behind, Lag


def test_the_partition_that_is_worst_counts() -> None:
    lag = Lag()
    lag.looked({0: 10, 1: 50_000}, {0: 0, 1: 0}, 1_000_000)
    lag.applied(0, 10, 999_700)
    lag.applied(1, 1, 100_000)
    assert lag.all({0: 10, 1: 1}, 1_000_000) == Behind(49_999, 900.0)


def test_who_does_not_look_does_not_know() -> None:
    lag = Lag()
    lag.looked({0: 10}, {0: 10}, 1_000_000)
    assert lag.all({0: 10}, 1_000_000 + STALE_MS) == Behind(0, 0.0)
    assert lag.all({0: 10}, 1_000_000 + 600_000) == Behind(0, 600.0)
    lag.looked({0: 1_210}, {0: 10}, 1_600_000)
    assert lag.all({0: 10}, 1_601_000) == Behind(1_200, 601.0)


def test_before_anything_was_read_it_is_unknown() -> None:
    lag = Lag()
    assert lag.all({}, 0) is None
    lag.looked({0: 10, 1: 0}, {0: 0, 1: 0}, 1_000)
    assert lag.all({0: 0, 1: 0}, 2_000) == Behind(10, None)


@dataclass
class Log:
    """Partitions by when each record came, and how many of each are applied."""

    partitions: list[list[int]] = field(default_factory=lambda: [[], []])
    applied: list[int] = field(default_factory=lambda: [0, 0])

    @property
    def positions(self) -> dict[int, int]:
        return dict(enumerate(self.applied))

    def oldest_waiting_ms(self) -> int | None:
        waiting = [
            records[done]
            for records, done in zip(self.partitions, self.applied, strict=True)
            if done < len(records)
        ]
        return min(waiting, default=None)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["append", "apply", "look", "wait"]), st.integers(0, 1),
            st.integers(1, 20),
        ),
        max_size=60,
    )
)  # fmt: skip
def test_nothing_waits_for_longer_than_is_said(steps: list[tuple[str, int, int]]) -> None:
    log, lag, now_ms = Log(), Lag(), 1_000_000
    lag.looked({0: 0, 1: 0}, log.positions, now_ms)
    for what, number, count in steps:
        if what == "append":
            log.partitions[number] += [now_ms] * count
        elif what == "apply":
            records = log.partitions[number]
            done = log.applied[number] = min(len(records), log.applied[number] + count)
            if done:
                lag.applied(number, done, records[done - 1])
        elif what == "look":
            lag.looked({n: len(r) for n, r in enumerate(log.partitions)}, log.positions, now_ms)
        else:
            now_ms += 1_000 * count
        said = lag.all(log.positions, now_ms)
        oldest_ms = log.oldest_waiting_ms()
        assert said is not None
        assert said.lag_s is not None
        if oldest_ms is not None:
            assert now_ms - oldest_ms <= max(STALE_MS, 1000 * said.lag_s)

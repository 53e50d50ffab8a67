from collections.abc import Iterable

import pytest
from prometheus_client import CollectorRegistry

from services.central.metrics import PREFIX, FreshnessCollector
from services.central.progress import Progress


def newest(streams: Iterable[Progress], *, workers_max: int = 10) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(FreshnessCollector(lambda: streams, workers_max=workers_max))
    return {
        sample.labels["worker"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == f"{PREFIX}_newest_record_timestamp_seconds"
    }


def progress(stream: int, worker: str, newest_ms: int, *, ended: bool = False) -> Progress:
    return Progress(
        stream=stream,
        worker=worker,
        partition=0,
        started_at_ms=0,
        last=1,
        newest_ms=newest_ms,
        ended=ended,
    )


def test_a_worker_is_as_new_as_its_newest_living_stream() -> None:
    streams = [
        progress(1, "c/0", 9_000, ended=True),
        progress(2, "c/0", 5_000),
        progress(3, "c/0", 6_500),
        progress(4, "d/0", 2_000),
        progress(5, "e/0", 0),
        progress(6, "f/0", 7_000, ended=True),
    ]
    assert newest(streams) == {"c/0": 6.5, "d/0": 2.0}


@pytest.mark.parametrize(("workers_max", "shown"), [(2, {"w/8", "w/9"}), (100, None)])
def test_workers_are_bounded_and_the_newest_stay(workers_max: int, shown: set[str] | None) -> None:
    streams = [progress(n, f"w/{n}", 1_000 * (n + 1)) for n in range(10)]
    found = newest(streams, workers_max=workers_max)
    assert found.keys() == (shown or {f"w/{n}" for n in range(10)})

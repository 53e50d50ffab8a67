"""The list of collectors: who is heard, who is silent, who is forgotten."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from services.central.collectors.collectors_log import CollectorsLog
from services.central.collectors.listing import (
    EXAMPLE,
    FORGOTTEN_MS,
    SILENT_MS,
    Heard,
    Listing,
    row,
    silent,
)
from services.central.metrics import CentralMetrics
from services.central.pages.collectors_panel import COLUMNS, DASH, collector_rows
from shared.collectors import CollectorRecord, encode_collector
from shared.kafka import Brokers, Record
from shared.topics import COLLECTORS
from tests.central.centrals import Place, client_of

NOW_MS = 1_772_461_860_000
RECORD = CollectorRecord(
    worker="collector-1/0",
    collector="collector-1",
    version="0.1.0",
    at_ms=NOW_MS - 2000,
    started_at_ms=NOW_MS - 60_000,
    flows_per_s=1999.5,
    spool_bytes=16_777_216,
    unread_datagrams=1200,
    primary="central-a",
    epoch=7,
    udp="127.0.0.1:2055",
    ready=True,
)


def of(worker: str) -> CollectorRecord:
    return replace(RECORD, worker=worker, collector=worker.partition("/")[0])


def listed(listing: Listing, now_ms: int = NOW_MS) -> list[str]:
    return [each.record.worker for each in listing.at(now_ms)]


def test_workers_stand_in_order_with_their_last_record() -> None:
    listing = Listing()
    for worker in ("b/0", "a/10", "a/9", "a/0"):
        listing.hear(of(worker), NOW_MS - 5000)
    listing.hear(replace(of("a/9"), epoch=8), NOW_MS)

    assert listed(listing) == ["a/0", "a/9", "a/10", "b/0"]
    assert [each.record.epoch for each in listing.at(NOW_MS)] == [7, 8, 7, 7]


@pytest.mark.parametrize(
    ("age_ms", "is_silent"), [(0, False), (SILENT_MS, False), (SILENT_MS + 1, True)]
)
def test_one_not_heard_for_15_s_is_silent(age_ms: int, is_silent: bool) -> None:
    listing = Listing()
    listing.hear(RECORD, NOW_MS - age_ms)

    (heard,) = listing.at(NOW_MS)
    assert silent(heard, NOW_MS) == is_silent
    assert listing.count(NOW_MS, is_silent=True) == int(is_silent)
    assert listing.count(NOW_MS, is_silent=False) == int(not is_silent)


def test_one_not_heard_for_a_week_is_forgotten() -> None:
    listing = Listing()
    listing.hear(of("a/0"), NOW_MS - FORGOTTEN_MS)
    listing.hear(of("b/0"), NOW_MS - FORGOTTEN_MS - 1)

    assert listed(listing) == ["a/0"]


def test_of_too_many_the_longest_silent_one_goes() -> None:
    listing = Listing(workers_max=2)
    listing.hear(of("a/0"), NOW_MS - 1)
    listing.hear(of("b/0"), NOW_MS - 3)
    listing.hear(of("c/0"), NOW_MS - 2)

    assert listed(listing) == ["a/0", "c/0"]


def test_a_row_says_when_it_was_heard() -> None:
    found = row(Heard(RECORD, NOW_MS - 2000), NOW_MS)

    assert found.keys() == EXAMPLE["rows"][0].keys()
    assert (found["last_seen"], found["age_s"]) == ("2026-03-02T14:30:58.000Z", 2.0)
    assert (found["is_silent"], found["primary"], found["lag_s"]) == (False, "central-a", None)


def read(offset: int, timestamp_ms: int, value: bytes | None = None) -> Record:
    key, encoded = encode_collector(RECORD)
    return Record("collectors", 0, offset, timestamp_ms, key, value or encoded, ())


@pytest.fixture
def make_log() -> Callable[[], tuple[CollectorsLog, CentralMetrics]]:
    def make() -> tuple[CollectorsLog, CentralMetrics]:
        metrics = CentralMetrics()
        collectors = CollectorsLog(
            brokers=Brokers("127.0.0.1:1"),
            topic=COLLECTORS,
            client_id="test",
            metrics=metrics.collectors,
            now_ms=lambda: NOW_MS,
        )
        collectors._follower.end_offset = 10
        return collectors, metrics

    return make


@pytest.mark.parametrize(
    ("offset", "timestamp_ms", "heard_ms"),
    [
        (9, NOW_MS - 60_000, NOW_MS - 60_000),
        (9, NOW_MS + 60_000, NOW_MS),
        # It came while we read: its collector's clock is five minutes off.
        (10, NOW_MS - 300_000, NOW_MS),
        (10, NOW_MS + 300_000, NOW_MS),
    ],
)
def test_what_comes_while_we_read_is_heard_now(
    make_log: Callable[[], tuple[CollectorsLog, CentralMetrics]],
    offset: int,
    timestamp_ms: int,
    heard_ms: int,
) -> None:
    collectors, metrics = make_log()

    collectors._take(read(offset, timestamp_ms))

    assert collectors.known() == [Heard(RECORD, heard_ms)]
    state = "silent" if heard_ms < NOW_MS - SILENT_MS else "heard"
    count = metrics.registry.get_sample_value(
        "steadflow_central_collector_workers", {"state": state}
    )
    assert count == 1


def test_what_cannot_be_read_is_counted_and_changes_nothing(
    make_log: Callable[[], tuple[CollectorsLog, CentralMetrics]],
) -> None:
    collectors, metrics = make_log()

    for value in (b"no json", b"{}"):
        collectors._take(read(11, NOW_MS, value))

    assert collectors.known() == []
    name = "steadflow_central_collector_records_refused_total"
    assert metrics.registry.get_sample_value(name) == 2


async def test_without_kafka_the_api_lists_none(tmp_path: Path) -> None:
    topic = COLLECTORS
    place = Place(tmp_path / "central", "127.0.0.1:1", topic, topic)
    with place.opened() as central:
        async with client_of(central) as client:
            assert (await client.get("/api/v1/collectors")).json() == {"rows": []}
            paths = (await client.get("/openapi.json")).json()["paths"]
            ready = (await client.get("/health/ready")).json()
    content = paths["/api/v1/collectors"]["get"]["responses"]["200"]["content"]
    assert content["application/json"]["example"] == EXAMPLE
    assert "collectors" not in ready["reasons"]


def texts(heard: Heard) -> list[str]:
    (found,) = collector_rows([heard], NOW_MS)
    return [cell["text"] for cell in found["cells"]]


def test_the_panel_shows_rate_spool_and_primary() -> None:
    heard = Heard(RECORD, NOW_MS - 3000)

    assert len(texts(heard)) == len(COLUMNS)
    assert texts(heard) == ["collector-1/0", "2.00 kfps", "16.8 MB", "now", "central-a"]
    (found,) = collector_rows([heard], NOW_MS)
    assert found["cells"][0]["detail"] == "0.1.0"
    assert found["cells"][2]["title"] == "1\u2009200 datagrams not in Kafka yet"


def test_the_panel_shows_no_rate_of_a_silent_one() -> None:
    heard = Heard(replace(RECORD, primary=""), NOW_MS - 180_000)

    assert texts(heard) == ["collector-1/0", DASH, "16.8 MB", "silent 3 min", DASH]

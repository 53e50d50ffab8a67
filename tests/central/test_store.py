"""The flow store: what an insert leaves, whatever kills or confuses it."""

import random
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from services.central import reports
from services.central.reports import ReportRequest
from services.central.store import (
    FlowStore,
    Limits,
    LossRow,
    NotArrow,
    QuarantineRow,
    QueryRefused,
    ReportsBusy,
    SchemaMismatch,
    StoreAway,
    StoreError,
)
from services.central.store.flow_store import ONE_PART
from services.central.store.retention import Held
from services.central.store.rollups import Level
from services.central.store.rows import encode_stream
from shared.addresses import pack_address
from shared.flow_record import COLUMNS
from tests.central import insert_until_killed
from tests.central.flow_values import (
    DAY_MS,
    HOUR,
    MINUTE_MS,
    addresses,
    ask,
    flow_value,
    insert,
)

ROOT = Path(__file__).parents[2]
ACTIVE_PARTS = (
    "SELECT count() FROM system.parts WHERE active AND database = currentDatabase() "
    "AND table = {table:String}"
)


def parts(store: FlowStore, table: str) -> int:
    return int(str(ask(store, ACTIVE_PARTS, table=table)[0][0]))


def stop_merges(store: FlowStore) -> None:
    store._work.command("SYSTEM STOP MERGES flows")


def test_one_insert_is_one_part(store: FlowStore) -> None:
    stop_merges(store)
    insert(store, flow_value(datagrams=2_000, per_datagram=20))
    assert parts(store, "flows") == 1

    insert(store, flow_value(first=2_001, datagrams=2_000, per_datagram=20))
    assert parts(store, "flows") == 2


def ten_messages() -> tuple[bytes, Sequence[str]]:
    """Return 400,000 rows of ten streams as one value of ten record batches, and its columns."""
    messages = [
        flow_value(stream=stream, datagrams=1_000, per_datagram=40, at_ms=HOUR + stream * MINUTE_MS)
        for stream in range(1, 11)
    ]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, messages[0].batch.schema) as writer:
        for message in messages:
            collector = message.batch.column("collector")
            writer.write_batch(message.batch.set_column(3, "collector", collector))
    return sink.getvalue().to_pybytes(), messages[0].columns


def test_several_messages_in_one_insert_are_one_part(store: FlowStore) -> None:
    stop_merges(store)
    value, columns = ten_messages()

    store.insert_flows(value, columns=columns, token="all")

    assert parts(store, "flows") == 1
    assert ask(store, "SELECT count(), uniqExact(stream) FROM flows") == [(400_000, 10)]
    assert store.flow_maxima() == dict.fromkeys(range(1, 11), 1_000)


def test_in_smaller_blocks_an_insert_is_several_parts_between_which_a_kill_may_fall(
    store_place: str,
) -> None:
    """Negative control."""
    settings = {**ONE_PART, "min_insert_block_size_rows": 100_000, "min_insert_block_size_bytes": 0}
    store = FlowStore.open(store_place, insert_settings=settings)
    store.migrate()
    stop_merges(store)
    value, columns = ten_messages()

    store.insert_flows(value, columns=columns, token="all")

    assert parts(store, "flows") > 1
    store.close()


def test_rows_of_two_days_are_refused_whole(store: FlowStore) -> None:
    with pytest.raises(StoreError):
        insert(store, flow_value(at_ms=HOUR, days=2))
    assert store.flow_maxima() == {}


def test_columns_that_nobody_filled_get_their_defaults(store: FlowStore) -> None:
    message = flow_value(datagrams=1, per_datagram=1)
    insert(store, message)

    row = ask(store, "SELECT direction, vrf, next_hop, collector, bytes, exporter FROM flows")[0]

    value = message.batch.to_pylist()[0]
    assert row == (255, 0, bytes(16), "c/1", value["bytes"], value["exporter"])


def test_compressed_and_dictionary_columns_are_taken_as_they_are(store: FlowStore) -> None:
    message = flow_value()
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, message.batch.schema, options=options) as writer:
        writer.write_batch(message.batch)

    store.insert_flows(sink.getvalue().to_pybytes(), columns=message.columns, token="zstd")

    expected = sum(message.batch.column("bytes").to_pylist())
    assert ask(store, "SELECT count(), sum(bytes) FROM flows") == [(200, expected)]


def test_maxima_are_those_of_the_rows(store: FlowStore) -> None:
    insert(store, flow_value(stream=2**64 - 1), flow_value(stream=5, first=101, datagrams=7))
    losses = [
        LossRow(
            stream=5,
            first=1,
            last=107,
            minute_ms=HOUR,
            exporter=pack_address("192.0.2.1"),
            reason=15,
            datagrams=3,
            flows=0,
        )
    ]
    store.insert_losses(losses, token="l")
    store.insert_quarantine(
        [
            QuarantineRow(
                topic_id="t", partition=1, offset=9, seen_at_ms=HOUR, reason="r", value=b"\xff\0x"
            )
        ]
    )

    assert store.flow_maxima() == {2**64 - 1: 20, 5: 107}
    assert store.loss_maxima() == {5: 107}
    assert store.quarantine_maxima() == {("t", 1): 9}
    columns = "stream, first, last, toUnixTimestamp(minute), exporter, reason, datagrams, flows"
    assert ask(store, f"SELECT {columns} FROM losses") == [
        (5, 1, 107, HOUR // 1000, pack_address("192.0.2.1"), 15, 3, 0)
    ]


def test_maxima_and_open_minutes_need_no_scan_of_the_raw_rows(store: FlowStore) -> None:
    insert(store, flow_value())
    sql = "EXPLAIN SELECT stream, max(datagram) FROM flows GROUP BY stream"
    assert any("(datagrams)" in str(row[0]) for row in ask(store, sql))


def test_the_same_insert_again_changes_nothing(store: FlowStore) -> None:
    insert(store, flow_value(), flow_value())
    assert ask(store, "SELECT count() FROM flows") == [(200,)]


def test_a_token_left_by_a_killed_insert_does_not_swallow_its_repeat(store: FlowStore) -> None:
    # A used token stands for one whose part a kill kept out: the engine drops the block unseen.
    insert(store, flow_value(stream=1))
    repeat = flow_value(stream=2)

    store.insert_flows(repeat.value, columns=repeat.columns, token=flow_value(stream=1).token)

    assert store.flow_maxima() == {1: 20, 2: 20}


def test_without_looking_a_used_token_swallows_rows_in_silence(store_place: str) -> None:
    store = FlowStore.open(store_place, verify=False)
    store.migrate()
    insert(store, flow_value(stream=1))
    repeat = flow_value(stream=2)

    store.insert_flows(repeat.value, columns=repeat.columns, token=flow_value(stream=1).token)

    assert store.flow_maxima() == {1: 20}
    store.close()


def test_a_column_this_release_does_not_know_stops(store: FlowStore) -> None:
    batch = flow_value().batch
    newer = batch.append_column("colour", pa.array(["red"] * batch.num_rows))
    with pytest.raises(SchemaMismatch, match="this release does not know colour: string") as caught:
        store.insert_flows(encode_stream(newer), columns=newer.schema.names, token="n")
    assert caught.value.columns == ("colour: string",)
    assert store.flow_maxima() == {}


def test_a_column_of_another_type_stops(store: FlowStore) -> None:
    batch = flow_value().batch
    wider = batch.set_column(
        batch.schema.get_field_index("src_port"),
        "src_port",
        batch.column("src_port").cast(pa.uint32()),
    )
    with pytest.raises(SchemaMismatch, match="src_port: uint32"):
        store.insert_flows(encode_stream(wider), columns=wider.schema.names, token="n")


def test_a_column_an_older_table_does_not_have_stops(store: FlowStore) -> None:
    store._work.command("ALTER TABLE flows DROP COLUMN vrf")
    batch = flow_value().batch
    newer = batch.append_column("vrf", pa.array([7] * batch.num_rows, pa.uint32()))
    with pytest.raises(SchemaMismatch, match="the table `flows` does not know vrf: uint32"):
        store.insert_flows(encode_stream(newer), columns=newer.schema.names, token="n")
    assert ask(store, "SELECT count() FROM flows") == [(0,)]


def test_unguarded_the_engine_drops_an_unknown_column_in_silence(store: FlowStore) -> None:
    batch = flow_value().batch
    newer = batch.append_column("colour", pa.array(["red"] * batch.num_rows))
    names = flow_value().columns
    store._work.insert_arrow_stream("flows", names, encode_stream(newer), {})
    assert ask(store, "SELECT count() FROM flows") == [(200,)]


@pytest.mark.parametrize(
    "value",
    [b"", b"no Arrow at all", b"\xff\xff\xff\xff\x10\0\0\0" + bytes(16), b"\0" * 64],
)
def test_bytes_that_are_no_arrow_are_named(store: FlowStore, value: bytes) -> None:
    with pytest.raises(NotArrow):
        store.insert_flows(value, columns=[], token="x")


def test_a_stream_that_breaks_off_is_no_arrow(store: FlowStore) -> None:
    message = flow_value()
    for length in (len(message.value) // 2, len(message.value) - 200):
        with pytest.raises(NotArrow):
            store.insert_flows(message.value[:length], columns=message.columns, token="x")
    assert store.flow_maxima() == {}


def test_a_folder_that_is_taken_is_away(store_place: str, tmp_path: Path) -> None:
    store = FlowStore.open(store_place)
    if store_place.startswith("http"):
        pytest.skip("STEADFLOW_TEST_CLICKHOUSE_URL: a server has no folder")
    with pytest.raises(StoreAway, match="cannot open the store's folder"):
        FlowStore.open(str(tmp_path / "other"))
    store.close()


def test_a_server_that_is_not_there_is_away() -> None:
    with pytest.raises(StoreAway, match="cannot open the ClickHouse server"):
        FlowStore.open("http://127.0.0.1:9/steadflow")


def test_old_days_are_dropped_whole_and_may_come_again(store: FlowStore) -> None:
    insert(store, flow_value(at_ms=HOUR), flow_value(first=21, at_ms=HOUR + DAY_MS))
    for at_ms in (HOUR, HOUR + DAY_MS):
        store.close_minute(1, at_ms)
        store.close_hour(1, at_ms)

    first_ms = HOUR // DAY_MS * DAY_MS
    assert store.held() == Held(first_ms)
    second = date(2023, 11, 15)
    assert store.drop_raw_before(second) == [date(2023, 11, 14)]
    assert store.drop_raw_before(second) == []
    assert store.held() == Held(first_ms, raw_ms=first_ms + DAY_MS)
    assert store.drop_rollups_before(Level.MINUTE, second) == [date(2023, 11, 14)]
    assert store.held() == Held(first_ms, first_ms + DAY_MS, first_ms + DAY_MS)
    kept = ask(store, "SELECT level, count() FROM rollups WHERE grouping = 0 GROUP BY 1 ORDER BY 1")
    assert kept == [(0, 1), (1, 2)]
    assert store.flow_maxima() == {1: 40}

    insert(store, flow_value(stream=3, at_ms=HOUR + MINUTE_MS))
    assert store.open_minutes(3, since=0) == [HOUR + MINUTE_MS]


def test_an_empty_store_holds_nothing_and_one_without_records_tells_until_when_it_had_them(
    store: FlowStore,
) -> None:
    assert store.held() == Held()
    insert(store, flow_value(at_ms=HOUR))
    store.close_minute(1, HOUR)
    first_ms = HOUR // DAY_MS * DAY_MS
    assert store.held() == Held(first_ms)
    store.drop_raw_before(date(2023, 11, 16))
    assert store.held() == Held(first_ms, raw_ms=first_ms + DAY_MS)


def test_a_page_of_flows_takes_no_memory_for_the_rest_of_its_range(store_place: str) -> None:
    store = FlowStore.open(store_place, limits=Limits(memory_bytes=60_000_000, threads=1))
    store.migrate()
    rows = 40_000
    insert(store, *(flow_value(first=1 + n * rows, datagrams=rows, per_datagram=1, at_ms=HOUR + n)
                    for n in range(10)))  # fmt: skip
    request = ReportRequest(from_ms=HOUR, to_ms=HOUR + MINUTE_MS, limit=100)
    page = reports.flows(request)
    assert store.query_arrow(page.sql, page.parameters).num_rows == 100

    # All columns of these rows are more than a report may have.
    names = ", ".join(column.name for column in COLUMNS)
    order = "received_at DESC, stream DESC, datagram DESC"
    with pytest.raises(QueryRefused):
        ask(store, f"SELECT {names} FROM flows ORDER BY {order} LIMIT 100 WITH TIES")
    store.close()


def test_inserts_go_on_beside_the_heaviest_report(store_place: str) -> None:
    store = FlowStore.open(store_place, limits=Limits(execution_s=5, threads=1))
    store.migrate()
    with ThreadPoolExecutor(1) as pool:
        heavy = pool.submit(
            ask, store, "SELECT sum(cityHash64(number)) FROM numbers(1000000000000)"
        )
        insert(store, *(flow_value(first=1 + at * 20) for at in range(5)))
        assert not heavy.done()
        with pytest.raises(QueryRefused):
            heavy.result(timeout=120)
    assert store.flow_maxima() == {1: 100}
    store.close()


def test_on_the_client_of_the_inserts_a_report_would_block_them(tmp_path: Path) -> None:
    store = FlowStore.open(str(tmp_path / "store"))
    store.migrate()
    order: list[str] = []

    def report() -> None:
        store._work.rows("SELECT sum(cityHash64(number)) FROM numbers(1500000000)")
        order.append("report")

    thread = threading.Thread(target=report)
    thread.start()
    running = "SELECT count() FROM system.processes WHERE query LIKE {sample:String}"
    while ask(store, running, sample="%(1500000000)%") == [(0,)]:
        assert thread.is_alive()
    insert(store, flow_value())
    order.append("insert")
    thread.join(120)
    assert order == ["report", "insert"]
    store.close()


def test_a_report_beyond_its_memory_is_refused(store_place: str) -> None:
    limits = Limits(memory_bytes=20_000_000)
    store = FlowStore.open(store_place, limits=limits)
    with pytest.raises(QueryRefused):
        ask(store, "SELECT groupArray(number) FROM numbers(100000000)")
    store.close()


def test_a_report_waits_for_a_client_only_so_long(store_place: str) -> None:
    store = FlowStore.open(store_place, limits=Limits(reports=1, wait_s=0.01, execution_s=3))
    with ThreadPoolExecutor(1) as pool:
        heavy = pool.submit(
            ask, store, "SELECT sum(cityHash64(number)) FROM numbers(1000000000000)"
        )
        while store._reports._free.qsize():
            assert not heavy.done()
        with pytest.raises(ReportsBusy):
            ask(store, "SELECT 1")
        with pytest.raises(QueryRefused):
            heavy.result(timeout=120)
    store.close()


def run_and_kill(place: str, days: int, rng: random.Random) -> list[int]:
    """Let a process insert; kill it in the middle of something; return what it had done."""
    command = [sys.executable, insert_until_killed.__file__, place, str(days)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(rng.randrange(1, 6))]
        try:
            process.wait(timeout=rng.uniform(0, 0.06))
        except subprocess.TimeoutExpired:
            process.kill()
        lines += process.stdout.readlines()
    return [int(line.split()[1]) for line in lines if line.startswith("done")]


def rows_by_range(store: FlowStore) -> dict[int, int]:
    ranges = "intDiv(datagram - 1, {datagrams:UInt64}) * {datagrams:UInt64} + 1"
    sql = f"SELECT {ranges} AS first, count() FROM flows GROUP BY first"
    rows = ask(store, sql, datagrams=insert_until_killed.DATAGRAMS)
    return {int(str(first)): int(str(count)) for first, count in rows}


@pytest.mark.faults
@pytest.mark.slow
def test_a_killed_insert_is_all_or_nothing_and_resumes(tmp_path: Path) -> None:
    place, seed = str(tmp_path / "store"), 20231114
    print("seed", seed)
    rng = random.Random(seed)
    whole = insert_until_killed.DATAGRAMS * insert_until_killed.PER_DATAGRAM
    done: set[int] = set()
    for _ in range(6):
        done |= set(run_and_kill(place, 1, rng))
        store = FlowStore.open(place)
        found = rows_by_range(store)
        store.close()
        assert set(found.values()) <= {whole}
        assert done <= set(found)
        assert sorted(found) == [1 + at * insert_until_killed.DATAGRAMS for at in range(len(found))]


@pytest.mark.faults
@pytest.mark.slow
def test_an_insert_over_many_days_is_torn_by_a_kill(tmp_path: Path) -> None:
    place, rng = str(tmp_path / "store"), random.Random(8)
    whole = insert_until_killed.DATAGRAMS * insert_until_killed.PER_DATAGRAM
    for _ in range(30):
        run_and_kill(place, 24, rng)
        store = FlowStore.open(place)
        torn = {first for first, count in rows_by_range(store).items() if count != whole}
        store.close()
        if torn:
            return
    pytest.fail("30 kills tore no insert: the rule of one day is not what protects")


def test_addresses_are_made_as_the_flow_record_keeps_them() -> None:
    assert addresses([0xC0000201])[0].as_py() == pack_address("192.0.2.1")

"""Closing: once, whole, equal to the raw rows, whatever happens between two attempts."""

import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from services.central.store import FlowStore, StoreError
from services.central.store.closing import ONE_BLOCK
from services.central.store.digests import COLUMNS_BY_VERSION, ROLLUP_COLUMNS_BY_VERSION
from services.central.store.periods import SAFE, ClosingPolicy
from services.central.store.rollups import DIMENSIONS, GROUPING_SETS, SUMS, Level
from services.central.store.rows import encode_stream
from shared.flow_record import BY_NAME, INSTANT
from tests import draws
from tests.central import close_until_killed
from tests.central.flow_values import HOUR, HOUR_MS, MINUTE_MS, addresses, ask, flow_value, insert

ROOT = Path(__file__).parents[2]

GROUPS_ROWS = 800_000
"""Each row has a source and a destination of its own: 1.6 M groups in one closing."""


def two_streams_in_one_hour(store: FlowStore) -> None:
    for stream in (1, 2):
        for at in range(3):
            insert(store, flow_value(stream=stream, first=1 + 20 * at, at_ms=HOUR + at * MINUTE_MS))


@pytest.mark.parametrize("grouping_set", GROUPING_SETS, ids=lambda each: each.name)
def test_every_roll_up_equals_the_raw_rows(store: FlowStore, grouping_set: Any) -> None:
    two_streams_in_one_hour(store)
    for stream in (1, 2):
        for at in range(3):
            assert store.close_minute(stream, HOUR + at * MINUTE_MS)
        assert store.close_hour(stream, HOUR)

    keys = [f"{DIMENSIONS[name]} AS k_{name}" for name in grouping_set.dimensions]
    sums = [f"{sql} AS s_{name}" for name, sql in SUMS.items()]
    for level, start in (Level.MINUTE, "toStartOfMinute"), (Level.HOUR, "toStartOfHour"):
        selected = [f"toUnixTimestamp({start}(received_at)) AS at", "stream", *keys, *sums]
        grouped = ["at", "stream", *(f"k_{name}" for name in grouping_set.dimensions)]
        raw = ask(
            store,
            f"SELECT {', '.join(selected)} FROM flows GROUP BY {', '.join(grouped)} ORDER BY ALL",
        )
        columns = ["toUnixTimestamp(starts_at)", "stream", *grouping_set.dimensions, *SUMS]
        rolled = ask(
            store,
            f"SELECT {', '.join(columns)} FROM rollups "
            "WHERE level = {level:UInt8} AND grouping = {code:UInt8} ORDER BY ALL",
            level=int(level),
            code=grouping_set.code,
        )
        assert rolled == raw
        assert len(rolled) >= 2


def test_a_row_holds_the_default_in_each_dimension_its_set_lacks(store: FlowStore) -> None:
    two_streams_in_one_hour(store)
    store.close_minute(1, HOUR)
    for grouping_set in GROUPING_SETS:
        others = [name for name in DIMENSIONS if name not in grouping_set.dimensions]
        kept = [
            f"min({name}) = max({name}) AND toString(any({name})) IN ('0', '::')" for name in others
        ]
        sql = f"SELECT {', '.join(kept)} FROM rollups WHERE grouping = {grouping_set.code}"
        assert all(value == 1 for value in ask(store, sql)[0]), grouping_set.name
    assert ask(store, "SELECT max(grouping) FROM rollups") == [(9,)]


def test_closing_is_one_part_and_again_is_nothing(store: FlowStore) -> None:
    two_streams_in_one_hour(store)
    for _ in range(3):
        assert store.close_minute(1, HOUR)
    parts = (
        "SELECT count() FROM system.parts "
        "WHERE active AND table = 'rollups' AND database = currentDatabase()"
    )
    assert ask(store, parts) == [(1,)]
    assert ask(store, "SELECT count(), sum(flows) FROM rollups WHERE grouping = 0") == [(1, 200)]


def test_a_part_that_begins_in_the_last_second_belongs_to_its_minute(store: FlowStore) -> None:
    # flow_value spreads its rows over a second; a part is then judged by its earliest row.
    insert(store, flow_value(first=1, at_ms=HOUR))
    insert(store, flow_value(first=21, at_ms=HOUR + MINUTE_MS - 999))
    insert(store, flow_value(first=41, at_ms=HOUR + MINUTE_MS))

    store.close_minute(1, HOUR)

    flows = ask(store, "SELECT flows FROM rollups WHERE level = 0 AND grouping = 0")
    assert flows == [(2 * 20 * 10,)]
    assert store.raw_digest(1, HOUR).flows == 2 * 20 * 10


def test_received_at_is_compared_with_milliseconds_only() -> None:
    for path in (ROOT / "services/central").rglob("*.py"):
        coarse = re.findall(r"received_at [<>]=? toDateTime\(", path.read_text())
        assert not coarse, f"{path.name}: chDB prunes parts wrongly there (see store/closing.py)"


def test_a_minute_without_rows_needs_no_roll_up(store: FlowStore) -> None:
    insert(store, flow_value())
    assert not store.close_minute(1, HOUR + MINUTE_MS)
    assert not store.close_minute(9, HOUR)
    assert not store.close_hour(1, HOUR)
    assert ask(store, "SELECT count() FROM rollups") == [(0,)]


def test_a_period_starts_at_its_start(store: FlowStore) -> None:
    with pytest.raises(StoreError, match="no start of a minute"):
        store.close_minute(1, HOUR + 1)
    with pytest.raises(StoreError, match="no start of a hour"):
        store.close_hour(1, HOUR + MINUTE_MS)


def test_what_is_open_and_closed_is_read_from_the_rows(store: FlowStore) -> None:
    two_streams_in_one_hour(store)
    assert store.rolled_until(1) is None
    assert store.open_minutes(1, since=HOUR + MINUTE_MS + 1) == [
        HOUR + MINUTE_MS,
        HOUR + 2 * MINUTE_MS,
    ]
    store.close_minute(1, HOUR)
    assert store.rolled_until(1) == (HOUR + MINUTE_MS, 0)
    store.close_minute(1, HOUR + MINUTE_MS)
    store.close_minute(1, HOUR + 2 * MINUTE_MS)
    store.close_hour(1, HOUR)
    assert store.rolled_until(1) == (HOUR + HOUR_MS, HOUR + HOUR_MS)
    assert store.rolled_until(2) is None


def test_the_digest_of_a_minute_can_be_made_again_from_its_rows(store: FlowStore) -> None:
    two_streams_in_one_hour(store)
    store.close_minute(1, HOUR)
    store.close_minute(1, HOUR + MINUTE_MS)

    published = store.published_digests(1, since=HOUR + MINUTE_MS).to_pylist()

    again = store.raw_digest(1, HOUR + MINUTE_MS)
    assert published == [
        {
            "stream": 1,
            "starts_at": HOUR + MINUTE_MS,
            "flows": again.flows,
            "bytes": again.bytes,
            "packets": again.packets,
            "digest": again.digest,
            "digest_version": again.version,
        }
    ]
    assert again.flows == 200
    by_exporter = ask(
        store,
        "SELECT sumWithOverflow(digest) FROM rollups WHERE grouping = 1 "
        "AND toUnixTimestamp(starts_at) = {at:UInt32}",
        at=(HOUR + MINUTE_MS) // 1000,
    )
    assert by_exporter == [(again.digest,)]


def test_a_digest_shows_a_doubled_and_a_changed_row(store: FlowStore) -> None:
    insert(store, flow_value())
    before = store.raw_digest(1, HOUR)
    message = flow_value()
    store.insert_flows(message.value, columns=message.columns, token="other")
    doubled = store.raw_digest(1, HOUR)
    assert doubled.digest == before.digest * 2 % 2**64 != before.digest

    store.close_minute(1, HOUR)
    rolled = store.rollup_digest(Level.MINUTE, 1, HOUR)
    assert rolled.flows == 400
    store._work.command(
        "ALTER TABLE rollups UPDATE out_if = out_if + 1 WHERE grouping = 3 AND out_if = 4 "
        "SETTINGS mutations_sync = 2"
    )
    assert store.rollup_digest(Level.MINUTE, 1, HOUR).digest != rolled.digest


def test_digests_name_columns_that_exist(store: FlowStore) -> None:
    assert set(COLUMNS_BY_VERSION[1]) <= set(BY_NAME)
    described = ask(
        store,
        "SELECT groupArray(name) FROM system.columns "
        "WHERE table = 'rollups' AND database = currentDatabase()",
    )
    assert list(ROLLUP_COLUMNS_BY_VERSION[1]) == described[0][0]


def test_the_digest_of_version_1_never_changes(store: FlowStore) -> None:
    batch = pa.record_batch(
        {
            "received_at": pa.array([HOUR], pa.int64()).cast(INSTANT),
            "collector": pa.array(["c/0"]).dictionary_encode().cast(BY_NAME["collector"].arrow),
            "stream": pa.array([1], pa.uint64()),
            "datagram": pa.array([1], pa.uint64()),
            "exporter": addresses([0xC0000201]),
            "export_version": pa.array([9], pa.uint8()),
            "bytes": pa.array([1500], pa.uint64()),
        }
    )
    store.insert_flows(encode_stream(batch), columns=batch.schema.names, token="one")
    assert store.raw_digest(1, HOUR).digest == 16973157861569536168


def test_a_repair_closes_again_under_another_attempt(store: FlowStore) -> None:
    insert(store, flow_value())
    store.close_minute(1, HOUR)
    store._work.command("ALTER TABLE rollups DELETE WHERE 1 SETTINGS mutations_sync = 2")

    assert store.close_minute(1, HOUR, attempt=1)

    assert ask(store, "SELECT sum(flows) FROM rollups WHERE grouping = 0") == [(200,)]


def test_a_token_left_by_a_killed_closing_does_not_swallow_its_repeat(store: FlowStore) -> None:
    # Rows gone with their token noted: what a kill between the token and the part leaves.
    insert(store, flow_value())
    store.close_minute(1, HOUR)
    store._work.command("ALTER TABLE rollups DELETE WHERE 1 SETTINGS mutations_sync = 2")

    assert store.close_minute(1, HOUR)

    assert ask(store, "SELECT sum(flows) FROM rollups WHERE grouping = 0") == [(200,)]


@pytest.mark.faults
@pytest.mark.slow
def test_a_killed_closing_is_all_or_nothing_and_goes_on(tmp_path: Path) -> None:
    place, seed = str(tmp_path / "store"), 11
    print("seed", seed)
    rng = random.Random(seed)
    minutes = [HOUR + at * MINUTE_MS for at in range(6)]
    store = FlowStore.open(place)
    store.migrate()
    for at, at_ms in enumerate(minutes):
        insert(store, flow_value(first=1 + at * 2_000, datagrams=2_000, at_ms=at_ms, hosts=0))
    store.close()

    whole = {(code, 20_000) for code in range(len(GROUPING_SETS))}
    for _ in range(5 if draws.ALL else 3):
        close_and_kill(place, rng)
        store = FlowStore.open(place)
        sums = "SELECT starts_at, groupArray((grouping, flows)) FROM (SELECT starts_at, grouping, "
        sums += "sum(rollups.flows) AS flows FROM rollups WHERE level = 0 GROUP BY 1, 2) GROUP BY 1"
        for _, by_set in ask(store, sums):
            assert isinstance(by_set, list)
            assert {tuple(each.values()) for each in by_set} == whole
        store.close()

    store = FlowStore.open(place)
    for at_ms in minutes:
        store.close_minute(1, at_ms)
    store.close_hour(1, HOUR)
    by_level = "SELECT level, grouping, sum(flows) FROM rollups GROUP BY 1, 2 ORDER BY 1, 2"
    codes = range(len(GROUPING_SETS))
    assert ask(store, by_level) == [(level, code, 120_000) for level in (0, 1) for code in codes]
    store.close()


def close_and_kill(place: str, rng: random.Random) -> None:
    command = [sys.executable, close_until_killed.__file__, place]
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            process.wait(timeout=rng.uniform(0, 0.4))
        except subprocess.TimeoutExpired:
            process.kill()


def close_twice_around_a_merge(place: str, policy: ClosingPolicy, rows: int) -> tuple[int, int]:
    """Return flows after the first closing and after one again over the merged source."""
    store = FlowStore.open(place, closing=policy)
    store.migrate()
    messages = 8
    datagrams = rows // messages // 20
    for at in range(messages):
        insert(
            store,
            flow_value(
                first=1 + at * datagrams,
                datagrams=datagrams,
                per_datagram=20,
                at_ms=HOUR + at * 2_000,
                hosts=0,
            ),
        )
    counted = "SELECT sum(flows), count() FROM rollups WHERE grouping = 8"
    store.close_minute(1, HOUR)
    before = ask(store, counted)[0]
    store._work.command("OPTIMIZE TABLE flows FINAL")
    other = {**policy.settings, "max_threads": 1}
    store._periods._policy = ClosingPolicy(other, policy.ordered, policy.check_marker)
    store.close_minute(1, HOUR)
    after = ask(store, counted)[0]
    store.close()
    assert before == (rows, rows)
    return int(str(before[0])), int(str(after[0]))


@pytest.mark.slow
@pytest.mark.parametrize("check_marker", draws.some([True, False], 1, "markers"))
def test_closing_again_over_a_merged_source_doubles_nothing(
    store_place: str, check_marker: bool
) -> None:
    policy = ClosingPolicy(SAFE.settings, check_marker=check_marker)
    before, after = close_twice_around_a_merge(store_place, policy, GROUPS_ROWS)
    assert before == after == GROUPS_ROWS


@pytest.mark.slow
@pytest.mark.parametrize(
    "policy",
    [
        ClosingPolicy({}, ordered=False, check_marker=False),
        ClosingPolicy(ONE_BLOCK, ordered=False, check_marker=False),
    ],
    ids=["defaults", "unordered"],
)
def test_without_its_settings_and_order_closing_again_doubles(
    store_place: str, policy: ClosingPolicy
) -> None:
    before, after = close_twice_around_a_merge(store_place, policy, GROUPS_ROWS)
    assert after > before

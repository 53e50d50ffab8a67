"""The store's migrations: what they build, and that a kill at any point is repaired."""

import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from services.central.store import FlowStore, migrate
from services.central.store.clients import sqlalchemy_engine
from shared.flow_record import COLUMNS
from tests.central import migrate_once
from tests.central.flow_values import ask, flow_value, insert

ROOT = Path(__file__).parents[2]
VERSIONS = migrate.VERSIONS / "versions"
REVISIONS = sorted(path.name[:4] for path in VERSIONS.glob("0*.py"))


def noted(place: str) -> list[str]:
    with sqlalchemy_engine(place).connect() as connection:
        return migrate.noted_revisions(connection)


def statement(revision: str) -> str:
    config = Config()
    config.set_main_option("script_location", str(migrate.VERSIONS))
    script = ScriptDirectory.from_config(config).get_revision(revision)
    assert script is not None
    return str(script.module.STATEMENT)


def assert_works(store: FlowStore, place: str) -> None:
    store.migrate()
    assert noted(place) == [REVISIONS[-1]]
    insert(store, flow_value())
    assert store.close_minute(1, 1_700_002_800_000)
    assert store.flow_maxima() == {1: 20}
    assert store.loss_maxima() == {}
    assert store.quarantine_maxima() == {}


def test_the_table_has_the_columns_of_the_flow_record(store: FlowStore) -> None:
    described = ask(
        store,
        "SELECT name, type, default_expression FROM system.columns "
        "WHERE database = currentDatabase() AND table = 'flows' ORDER BY position",
    )
    assert [row[:2] for row in described] == [(each.name, each.clickhouse) for each in COLUMNS]
    defaults = {str(name): str(default) for name, _, default in described if default}
    nonzero = [each for each in COLUMNS if each.absent not in (0, "", bytes(16))]
    assert defaults == {each.name: str(each.absent) for each in nonzero}


def test_tables_are_written_through_and_have_a_window(store: FlowStore) -> None:
    tables = ask(
        store,
        "SELECT name, create_table_query FROM system.tables "
        "WHERE database = currentDatabase() AND name != 'alembic_version' ORDER BY name",
    )
    assert [name for name, _ in tables] == ["flows", "losses", "quarantine", "rollups"]
    for _, query in tables:
        assert "fsync_after_insert = 1, fsync_part_directory = 1" in str(query)
        assert "non_replicated_deduplication_window = 10000" in str(query)
    created = {str(name): str(query) for name, query in tables}
    assert "(toStartOfMinute(received_at), stream, " in created["flows"]
    assert "PARTITION BY (level, toDate(starts_at))" in created["rollups"]


def test_each_migration_is_one_statement_that_may_run_again(store: FlowStore) -> None:
    for revision in REVISIONS:
        sql = statement(revision)
        assert ";" not in sql
        assert re.match(r"\s*(CREATE TABLE IF NOT EXISTS|ALTER TABLE \w+ ADD \w+ IF NOT)", sql)
        store._work.command(sql)


def test_migrating_again_changes_nothing(store: FlowStore, store_place: str) -> None:
    insert(store, flow_value())
    store.migrate()
    assert noted(store_place) == [REVISIONS[-1]]
    assert store.flow_maxima() == {1: 20}


@pytest.mark.parametrize("at", range(len(REVISIONS)))
def test_a_statement_that_ran_without_being_noted_runs_again(store_place: str, at: int) -> None:
    store = FlowStore.open(store_place)
    if at:
        store.migrate(REVISIONS[at - 1])
    store._work.command(statement(REVISIONS[at]))
    assert_works(store, store_place)
    store.close()


@pytest.mark.parametrize("at", range(1, len(REVISIONS)))
def test_a_revision_noted_beside_the_one_before_is_repaired(store_place: str, at: int) -> None:
    store = FlowStore.open(store_place)
    store.migrate(REVISIONS[at])
    note_twice(store_place, REVISIONS[at - 1])
    assert_works(store, store_place)
    store.close()


def test_unrepaired_two_noted_revisions_stop_every_later_start(store_place: str) -> None:
    store = FlowStore.open(store_place)
    store.migrate(REVISIONS[1])
    note_twice(store_place, REVISIONS[0])
    engine = sqlalchemy_engine(store_place)
    with pytest.raises(CommandError, match="overlap"):
        migrate.upgrade(engine, repair=False)
    store.close()


def note_twice(place: str, revision: str) -> None:
    with sqlalchemy_engine(place).connect() as connection:
        connection.execute(
            sqlalchemy.text("INSERT INTO alembic_version (version_num) VALUES (:revision)"),
            {"revision": revision},
        )
    assert len(noted(place)) == 2


@pytest.mark.faults
@pytest.mark.slow
def test_a_killed_migration_is_finished_by_the_next(tmp_path: Path) -> None:
    seed = 4
    print("seed", seed)
    rng = random.Random(seed)
    for attempt in range(4):
        place = str(tmp_path / f"store{attempt}")
        for _ in range(3):
            migrate_and_kill(place, after_s=rng.uniform(0.2, 0.8))
        store = FlowStore.open(place)
        assert_works(store, place)
        store.close()


def migrate_and_kill(place: str, after_s: float) -> None:
    command = [sys.executable, migrate_once.__file__, place]
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        try:
            process.wait(timeout=after_s)
        except subprocess.TimeoutExpired:
            process.kill()

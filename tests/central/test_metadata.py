"""The metadata database, on SQLite and on a PostgreSQL cluster of the test's own."""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine

from cli.ports import free_port
from services.central.messages import Seen
from services.central.metadata.database import MetadataUrlError, migrate, open_database
from services.central.metadata.hints import Hints, Position
from services.central.metadata.models import Base
from services.central.metadata.seen import SeenRow, exporters_seen, interfaces_seen
from services.central.metadata.settings_tables import SettingsPosition, SettingsTables
from services.central.metadata.sightings import LeftOut, Sighting, Sightings
from services.central.progress import Progress
from shared.addresses import pack_address
from shared.settings_events import (
    ExporterNamed,
    InterfaceNamed,
    MachineLeaves,
    RetentionSet,
    SettingRemoved,
    SettingsEvent,
    exporter_key,
    interface_key,
    leaving_key,
)

POSTGRESQL = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
EXPORTER = pack_address("192.0.2.1")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of a PostgreSQL cluster that lives as long as the session."""
    if not POSTGRESQL:
        pytest.skip("no PostgreSQL here: apt-get install postgresql")
    with tempfile.TemporaryDirectory(prefix="steadflow-postgresql-") as folder:
        yield from _serve(POSTGRESQL[-1].parent, Path(folder))


def _serve(binaries: Path, folder: Path) -> Iterator[str]:
    # The server refuses to run as root; the folder must then be reachable for its user.
    as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    prefix = as_user if os.geteuid() == 0 else []
    data = folder / "data"
    data.mkdir()
    if prefix:
        folder.chmod(folder.stat().st_mode | 0o011)
        shutil.chown(data, "postgres", "postgres")
    port = free_port()
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
    control = [*prefix, str(binaries / "pg_ctl"), "-D", str(data), "-w", "-t", "120"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": True}
    initdb = [*prefix, str(binaries / "initdb"), "-D", str(data), "-A", "trust", "-U", "steadflow"]
    subprocess.run(initdb, cwd="/", **quiet)  # type: ignore[call-overload]  # keywords above
    log = str(data / "log")
    subprocess.run([*control, "-l", log, "-o", options, "start"], cwd="/", **quiet)  # type: ignore[call-overload]
    yield f"postgresql://steadflow@127.0.0.1:{port}"
    subprocess.run([*control, "-m", "immediate", "stop"], cwd="/", **quiet)  # type: ignore[call-overload]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'metadata.db'}"
    server: str = request.getfixturevalue("postgresql")
    name = f"test_{tmp_path.name}".lower().replace("-", "_")
    admin = open_database(f"{server}/postgres")
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f'DROP DATABASE IF EXISTS "{name}"')
        connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
    admin.dispose()
    return f"{server}/{name}"


@pytest.fixture
def database(url: str) -> Iterator[Engine]:
    engine = open_database(url)
    migrate(engine)
    yield engine
    engine.dispose()


def progress(stream: int = 2**64 - 1, **changes: object) -> Progress:
    fields: dict[str, object] = {
        "stream": stream,
        "worker": "c/0",
        "partition": 3,
        "started_at_ms": 1_700_000_000_000,
        "last": 17,
        "minutes_until_ms": 1_700_000_040_000,
        "listed": True,
    }
    return Progress(**(fields | changes))  # type: ignore[arg-type]  # fields of Progress


def test_migrations_make_the_tables_of_the_models(database: Engine) -> None:
    migrate(database)
    with database.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []


def test_a_migration_that_dies_leaves_nothing_half_made(url: str) -> None:
    engine = open_database(url)
    with engine.begin() as connection:
        # The last table of the revision is in its way.
        connection.exec_driver_sql("CREATE TABLE interfaces_seen (x INTEGER)")
    with pytest.raises(sqlalchemy.exc.DBAPIError):
        migrate(engine)
    assert sqlalchemy.inspect(engine).get_table_names() == ["interfaces_seen"]
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE interfaces_seen")
    migrate(engine)
    engine.dispose()


def test_hints_come_back_as_they_were_written(database: Engine) -> None:
    hints = Hints(database, "flows")
    hints.enter([progress(last=0)])
    hints.save(topic_ids={3: "id"}, positions={3: 2**40}, streams=[progress()])
    hints.save(topic_ids={3: "id", 1: "id"}, positions={1: 5}, streams=[progress(7, ended=True)])
    assert hints.positions() == {3: Position("id", 3, 2**40), 1: Position("id", 1, 5)}
    assert hints.streams() == {2**64 - 1: progress(), 7: progress(7, ended=True)}
    assert Hints(database, "other").positions() == {}


def test_ended_streams_are_forgotten_in_time(database: Engine) -> None:
    hints = Hints(database, "flows")
    hints.enter([progress(1, ended=True, newest_ms=10), progress(2, newest_ms=10)])
    hints.enter([progress(3, ended=True, newest_ms=30)])
    assert hints.forget(before_ms=20) == 1
    assert set(hints.streams()) == {2, 3}


def test_what_was_seen_only_widens(database: Engine) -> None:
    hints = Hints(database, "flows")
    seen = Seen(frozenset({(EXPORTER, 9)}), frozenset({(EXPORTER, 2**32 - 1)}))
    for first_ms, last_ms in ((50, 60), (10, 20), (55, 58)):
        sightings = [Sighting(seen, first_ms, last_ms), Sighting(seen, first_ms, last_ms)]
        hints.save(topic_ids={}, positions={}, streams=[], sightings=sightings)
    assert exporters_seen(database) == [SeenRow("192.0.2.1", 9, 10, 60)]
    assert interfaces_seen(database) == [SeenRow("192.0.2.1", 2**32 - 1, 10, 60)]


def spoofed(count: int, at_ms: int) -> list[Sighting]:
    """`count` exporters with an interface each, in one message."""
    addresses = [pack_address(f"203.0.113.{host}") for host in range(count)]
    exporters = frozenset((address, 9) for address in addresses)
    return [Sighting(Seen(exporters, frozenset((a, 1) for a in addresses)), at_ms, at_ms)]


@pytest.mark.parametrize("is_bounded", [True, False], ids=["bounded", "negative control"])
def test_spoofed_exporters_and_interfaces_take_bounded_room(
    database: Engine, is_bounded: bool
) -> None:
    most = 3 if is_bounded else None
    limits = Sightings(exporters_max=most, interfaces_max=most)
    hints = Hints(database, "flows", limits)

    def save(sightings: list[Sighting]) -> LeftOut:
        return hints.save(topic_ids={}, positions={}, streams=[], sightings=sightings)

    assert save(spoofed(2, 10)) == LeftOut()
    left_out = save(spoofed(100, 20))
    rows = len(exporters_seen(database)), len(interfaces_seen(database))

    assert (rows == (3, 3)) is is_bounded
    assert (left_out == LeftOut(97, 97)) is is_bounded
    assert exporters_seen(database)[0] == SeenRow("203.0.113.0", 9, 10, 20)


def test_the_bound_counts_what_an_earlier_life_noted(database: Engine) -> None:
    for host, left_out in ((2, LeftOut()), (3, LeftOut(1, 1))):
        limits = Sightings(exporters_max=2, interfaces_max=2)
        hints = Hints(database, "flows", limits)
        sightings = spoofed(host, 10)
        found = hints.save(topic_ids={}, positions={}, streams=[], sightings=sightings)
        assert found == left_out


def test_what_was_not_seen_for_long_makes_room_where_none_is(database: Engine) -> None:
    hints = Hints(database, "flows", Sightings(exporters_max=3, interfaces_max=3))
    for count, at_ms in ((3, 10), (1, 30)):
        sightings = spoofed(count, at_ms)
        hints.save(topic_ids={}, positions={}, streams=[], sightings=sightings)
    hints.forget(before_ms=20)
    assert len(exporters_seen(database)) == 3

    hints.save(topic_ids={}, positions={}, streams=[], sightings=spoofed(4, 30))
    hints.forget(before_ms=20)
    assert hints.save(topic_ids={}, positions={}, streams=[], sightings=spoofed(4, 40)) == LeftOut(
        1, 1
    )
    assert [row.last_seen_ms for row in exporters_seen(database)] == [40, 40, 40]


def test_settings_and_their_offset_are_one_transaction(database: Engine) -> None:
    tables = SettingsTables(database, "settings")
    assert tables.position() is None
    events: list[SettingsEvent] = [
        RetentionSet(5, 20, 300),
        ExporterNamed(EXPORTER, "core"),
        InterfaceNamed(EXPORTER, 3, "xe-0", 10**10),
        ExporterNamed(EXPORTER, "core-1"),
    ]
    tables.apply(events, SettingsPosition("id", 4, 99))
    assert tables.retention() == RetentionSet(5, 20, 300)
    assert tables.exporters() == [ExporterNamed(EXPORTER, "core-1")]
    assert tables.interfaces() == [InterfaceNamed(EXPORTER, 3, "xe-0", 10**10)]
    wrong = RetentionSet(None, 1, 1)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(sqlalchemy.exc.DBAPIError):
        tables.apply([ExporterNamed(EXPORTER, "lost"), wrong], SettingsPosition("id", 5, 100))
    assert tables.exporters() == [ExporterNamed(EXPORTER, "core-1")]
    assert tables.position() == SettingsPosition("id", 4, 99)


def test_removed_settings_are_gone(database: Engine) -> None:
    tables = SettingsTables(database, "settings")
    named: list[SettingsEvent] = [
        ExporterNamed(EXPORTER, "core"),
        InterfaceNamed(EXPORTER, 3, "xe-0"),
    ]
    tables.apply([RetentionSet(5, 20, 300), *named], SettingsPosition("id", 1, 0))
    keys = ["retention", exporter_key(EXPORTER), interface_key(EXPORTER, 3), "of/the/future"]
    tables.apply([SettingRemoved(key) for key in keys], SettingsPosition("id", 2, 0))
    assert (tables.retention(), tables.exporters(), tables.interfaces()) == (None, [], [])


def test_who_leaves_is_known_after_a_restart_and_until_it_is_gone(database: Engine) -> None:
    wish = MachineLeaves("witness-1", 9, "witness-2", had_central=True)
    SettingsTables(database, "settings").apply([wish], SettingsPosition("id", 1, 0))

    tables = SettingsTables(database, "settings")
    assert tables.leaving() == {"witness-1": wish}
    tables.apply([SettingRemoved(leaving_key("witness-1"))], SettingsPosition("id", 2, 0))
    assert tables.leaving() == {}


def test_reading_from_nothing_replaces_what_stood(database: Engine) -> None:
    tables = SettingsTables(database, "settings")
    tables.apply([ExporterNamed(EXPORTER, "old")], SettingsPosition("id", 1, 0))
    tables.apply([], SettingsPosition("other", 0, 0), from_nothing=True)
    assert tables.exporters() == []


def test_only_the_settings_tables_write_settings() -> None:
    writes = ("RetentionRow(", "ExporterNameRow(", "InterfaceNameRow(", "SettingsPositionRow(")
    folder = Path(__file__).parents[2] / "services"
    allowed = {"models.py", "settings_tables.py"}
    found = {
        file.name
        for file in folder.rglob("*.py")
        if file.name not in allowed
        and (
            any(write in file.read_text() for write in writes)
            or ("setting_" in file.read_text() and "migrations" not in file.parts)
        )
    }
    assert found == set()


@pytest.mark.parametrize("url", ["mysql://x/y", "no url", "oracle://"])
def test_another_database_is_one_sentence(url: str) -> None:
    with pytest.raises(MetadataUrlError):
        open_database(url)


def test_settings_are_written_while_hints_are(database: Engine) -> None:
    hints, tables = Hints(database, "flows"), SettingsTables(database, "settings")
    position = SettingsPosition("t", 1, 5)
    tables.apply([RetentionSet(7, 30, 730)], position)
    written = threading.Event()

    def write_hints() -> None:
        hints.save(topic_ids={0: "t"}, positions={0: 1}, streams=[])
        written.set()

    def write_between(_connection: object, _cursor: object, sql: str, *_more: object) -> None:
        # A transaction that only read so far is overtaken: SQLite would refuse its first write.
        if sql.startswith("SELECT") and not pool._threads:
            pool.submit(write_hints)
            written.wait(0.5)

    with ThreadPoolExecutor(1) as pool:
        sqlalchemy.event.listen(database, "after_cursor_execute", write_between)
        tables.apply([RetentionSet(8, 30, 730)], position)
        sqlalchemy.event.remove(database, "after_cursor_execute", write_between)
    assert tables.retention() == RetentionSet(8, 30, 730)
    assert hints.positions() == {0: Position("t", 0, 1)}

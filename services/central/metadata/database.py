"""Opening the metadata database and bringing its tables to the newest revision."""

from pathlib import Path

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

MIGRATIONS = Path(__file__).parent / "migrations"
_WRITER = "steadflow_writer"


class MetadataUrlError(ValueError):
    """A URL of a database that cannot hold the metadata."""


def open_database(url: str) -> Engine:
    """Return an engine for `url`: `sqlite:///FILE` or `postgresql://USER@HOST/DATABASE`.

    Connects to nothing yet. Raises MetadataUrlError.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise MetadataUrlError(f"not a database URL: {error}") from error
    if parsed.get_backend_name() == "postgresql":
        return sqlalchemy.create_engine(
            parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True
        )
    if parsed.get_backend_name() != "sqlite":
        raise MetadataUrlError("metadata_url must begin with sqlite:// or postgresql://")
    engine = sqlalchemy.create_engine(parsed)

    @event.listens_for(engine, "connect")
    def configure(connection: object, _record: object) -> None:
        # The driver would commit before each CREATE TABLE: a kill could leave half a revision.
        connection.isolation_level = None  # type: ignore[attr-defined]  # a DBAPI connection
        cursor = connection.cursor()  # type: ignore[attr-defined]
        # Readers and the one writer do not wait for each other; the position is only a hint, and
        # a settings change lost with the power is read from Kafka again.
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA busy_timeout=10000")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: sqlalchemy.Connection) -> None:
        # A transaction that reads and then writes fails at once, whatever the timeout, when another
        # wrote in between; one that is to write takes its turn before it reads.
        is_writer = connection.get_execution_options().get(_WRITER, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")

    return engine


def to_write(engine: Engine) -> Engine:
    """Return `engine` for transactions that write: they wait for each other."""
    return engine.execution_options(**{_WRITER: True})


def is_away(error: DBAPIError) -> bool:
    """Tell a database that is full, locked or gone from a statement of ours that is wrong."""
    return type(error).__name__ in ("OperationalError", "InterfaceError")


def newest_revision() -> str:
    """Return the revision that this release brings the tables to."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return ScriptDirectory.from_config(config).get_current_head() or ""


def migrate(engine: Engine, *, revision: str = "head") -> None:
    """Upgrade the tables to `revision`, in one transaction."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

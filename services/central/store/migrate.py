"""Bringing the store's tables to the newest revision, from any state a kill can leave."""

from pathlib import Path

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

VERSIONS = Path(__file__).parent / "migrations"


def upgrade(engine: sqlalchemy.Engine, *, revision: str = "head", repair: bool = True) -> None:
    """Upgrade to `revision`. Only a negative control leaves the repair out.

    There are no transactions here: after a kill a revision may have run without being noted (its
    statement may run again), or be noted beside the one before it (`_forget_superseded`).
    """
    config = Config()
    config.set_main_option("script_location", str(VERSIONS))
    with engine.connect() as connection:
        if repair:
            _forget_superseded(connection, ScriptDirectory.from_config(config))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def newest_revision() -> str:
    """Return the revision that this release brings the tables to."""
    config = Config()
    config.set_main_option("script_location", str(VERSIONS))
    return ScriptDirectory.from_config(config).get_current_head() or ""


def noted_revisions(connection: sqlalchemy.Connection) -> list[str]:
    """Return every revision the store notes as its own; one, unless a kill came between."""
    exists = connection.execute(sqlalchemy.text("EXISTS TABLE alembic_version")).scalar()
    if not exists:
        return []
    rows = connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version"))
    return sorted(str(row[0]) for row in rows)


def _forget_superseded(connection: sqlalchemy.Connection, scripts: ScriptDirectory) -> None:
    """Delete noted revisions that another noted one builds on.

    The dialect notes a step by inserting the new revision and deleting the old one; a kill between
    the two leaves both, which Alembic refuses as overlapping.
    """
    noted = noted_revisions(connection)
    if len(noted) < 2:
        return
    older = {
        script.revision
        for revision in noted
        for script in scripts.iterate_revisions(revision, "base")
        if script.revision != revision
    }
    for revision in sorted(older.intersection(noted)):
        connection.execute(
            sqlalchemy.text(
                "ALTER TABLE alembic_version DELETE WHERE version_num = :revision "
                "SETTINGS mutations_sync = 2"
            ),
            {"revision": revision},
        )

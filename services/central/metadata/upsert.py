"""Insert or overwrite, on both engines."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Insert, Table, func
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from services.central.metadata.models import Base


def upsert(
    session: Session,
    table: type[Base],
    rows: Iterable[Mapping[str, object]],
    *,
    widen: bool = False,
) -> None:
    """Insert or overwrite `rows`, all of the same columns.

    widen: first_seen_ms only falls, last_seen_ms only grows.
    """
    rows = list(rows)
    if not rows:
        return
    dialect = session.get_bind().dialect.name
    core = table.__table__
    assert isinstance(core, Table)
    # Row by row with one statement: one of many rows would be compiled anew each time, which takes
    # longer than all the rest of a hint.
    session.connection().execute(_statement(core, tuple(rows[0]), dialect, widen=widen), rows)


@cache
def _statement(table: Table, columns: tuple[str, ...], dialect: str, *, widen: bool) -> Insert:
    is_postgresql = dialect == "postgresql"
    statement = (postgresql.insert if is_postgresql else sqlite.insert)(table)
    new, old = statement.excluded, table.c
    keys = [column.name for column in table.primary_key]
    if widen:
        # Both engines have a two-sided min and max, under different names.
        least, greatest = (func.least, func.greatest) if is_postgresql else (func.min, func.max)
        changes: dict[str, ColumnElement[Any]] = {
            "first_seen_ms": least(old.first_seen_ms, new.first_seen_ms),
            "last_seen_ms": greatest(old.last_seen_ms, new.last_seen_ms),
        }
    else:
        changes = {name: new[name] for name in columns if name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=changes)

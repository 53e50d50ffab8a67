"""Insert or overwrite, on both engines."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, func, inspect
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
    """Insert or overwrite `rows`; widen: first_seen_ms only falls, last_seen_ms only grows."""
    rows = list(rows)
    if not rows:
        return
    is_postgresql = session.get_bind().dialect.name == "postgresql"
    insert = postgresql.insert if is_postgresql else sqlite.insert
    # SQLite takes at most 32,766 parameters a statement; so many at once are also enough.
    for start in range(0, len(rows), 500):
        statement = insert(table).values(rows[start : start + 500])
        keys = [column.name for column in inspect(table).primary_key]
        new = statement.excluded
        if widen:
            # Both engines have a two-sided min and max, under different names.
            old = table.__table__.c
            least, greatest = (func.least, func.greatest) if is_postgresql else (func.min, func.max)
            changes: dict[str, ColumnElement[Any]] = {
                "first_seen_ms": least(old.first_seen_ms, new.first_seen_ms),
                "last_seen_ms": greatest(old.last_seen_ms, new.last_seen_ms),
            }
        else:
            changes = {name: new[name] for name in rows[0] if name not in keys}
        session.execute(statement.on_conflict_do_update(index_elements=keys, set_=changes))

"""Repairs: noted before their first step, so that a kill does not leave one half done."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine, delete, func, select, update
from sqlalchemy.orm import Session

from services.central.metadata.database import to_write
from services.central.metadata.models import RepairRow
from shared.digest_records import Period

REPAIRS_MAX: Final = 1_000
"""Noted by one request at most."""
KEPT: Final = 2 * REPAIRS_MAX
"""Finished repairs that are remembered; the newest number always is.

Twice as many as one request notes: whoever asked learns how each ended, though others ask too.
"""
OUTCOME_CHARACTERS: Final = 300


@dataclass(frozen=True, slots=True)
class Repair:
    """One repair. number: no other repair here ever had it. finished_ms: UTC, 0 while it goes on.

    outcome: a sentence once it is finished.
    """

    number: int
    period: Period
    noted_ms: int
    finished_ms: int = 0
    outcome: str = ""


class Repairs:
    """The only place that reads and writes them. Blocking."""

    def __init__(self, engine: Engine, *, kept: int = KEPT) -> None:
        """Use an open, migrated database."""
        self._engine = engine
        self._kept = kept

    def note(self, periods: Iterable[Period], now_ms: int) -> list[Repair]:
        """Note a repair of each period that is not under repair already; return the new ones."""
        with Session(to_write(self._engine)) as session, session.begin():
            unfinished = {_period(row) for row in session.scalars(_UNFINISHED)}
            noted: list[Repair] = []
            for period in periods:
                if period not in unfinished:
                    noted.append(Repair(_next(session) + len(noted), period, now_ms))
            session.add_all([_row(each) for each in noted])
            return noted

    def unfinished(self) -> list[Repair]:
        """Return the repairs that have to go on, oldest first."""
        with Session(self._engine) as session:
            return [_repair(row) for row in session.scalars(_UNFINISHED)]

    def begin_again(self, repair: Repair) -> Repair:
        """Give `repair` a new number: what it inserted under the old one would not go in twice."""
        with Session(to_write(self._engine)) as session, session.begin():
            number = _next(session)
            session.execute(
                update(RepairRow).where(RepairRow.number == repair.number).values(number=number)
            )
            return Repair(number, repair.period, repair.noted_ms)

    def finish(self, repair: Repair, outcome: str, now_ms: int) -> None:
        """Note how `repair` ended, and forget all but the newest finished ones."""
        with Session(to_write(self._engine)) as session, session.begin():
            session.execute(
                update(RepairRow)
                .where(RepairRow.number == repair.number)
                .values(finished_ms=now_ms, outcome=outcome[:OUTCOME_CHARACTERS])
            )
            session.execute(
                delete(RepairRow).where(
                    RepairRow.finished_ms > 0, RepairRow.number < _next(session) - self._kept
                )
            )

    def newest(self, count: int, *, since: int = 0) -> list[Repair]:
        """Return the newest repairs, newest first. since: none with a lower number."""
        with Session(self._engine) as session:
            rows = session.scalars(
                select(RepairRow)
                .where(RepairRow.number >= since)
                .order_by(RepairRow.number.desc())
                .limit(count)
            )
            return [_repair(row) for row in rows]


_UNFINISHED = select(RepairRow).where(RepairRow.finished_ms == 0).order_by(RepairRow.number)


def _next(session: Session) -> int:
    return (session.scalar(select(func.max(RepairRow.number))) or 0) + 1


def _period(row: RepairRow) -> Period:
    return Period(int(row.stream, 16), row.level, row.starts_ms)


def _row(repair: Repair) -> RepairRow:
    return RepairRow(
        number=repair.number,
        stream=f"{repair.period.stream:016x}",
        level=repair.period.level,
        starts_ms=repair.period.starts_ms,
        noted_ms=repair.noted_ms,
        finished_ms=0,
        outcome="",
    )


def _repair(row: RepairRow) -> Repair:
    return Repair(row.number, _period(row), row.noted_ms, row.finished_ms, row.outcome)

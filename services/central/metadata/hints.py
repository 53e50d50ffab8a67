"""Position hints: where to go on reading, and how far each stream is applied.

A hint is written after the data, in one transaction; it may be old, never new.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from services.central.metadata.database import to_write
from services.central.metadata.models import PositionRow, StreamRow
from services.central.metadata.sightings import LeftOut, Sighting, Sightings
from services.central.metadata.upsert import upsert
from services.central.progress import Progress


@dataclass(frozen=True, slots=True)
class Position:
    """Next offset of one partition of the topic that had `topic_id`."""

    topic_id: str
    partition: int
    next_offset: int


class Hints:
    """The only place that reads and writes positions, streams and what was seen. Blocking."""

    def __init__(self, engine: Engine, topic: str, sightings: Sightings | None = None) -> None:
        """Keep the hints of `topic`. sightings: with other limits, for tests."""
        self._engine = engine
        self._topic = topic
        self._sightings = sightings or Sightings()

    def positions(self) -> dict[int, Position]:
        """Return the hint of each partition."""
        with Session(self._engine) as session:
            rows = session.scalars(select(PositionRow).where(PositionRow.topic == self._topic))
            return {r.partition: Position(r.topic_id, r.partition, r.next_offset) for r in rows}

    def streams(self) -> dict[int, Progress]:
        """Return the hint of each stream, its maxima not filled in."""
        with Session(self._engine) as session:
            return {int(r.stream, 16): _progress(r) for r in session.scalars(select(StreamRow))}

    def enter(self, streams: Iterable[Progress]) -> None:
        """Note streams before their first row is inserted."""
        with Session(to_write(self._engine)) as session, session.begin():
            _write_streams(session, streams)

    def save(
        self,
        *,
        topic_ids: Mapping[int, str],
        positions: Mapping[int, int],
        streams: Iterable[Progress],
        sightings: Iterable[Sighting] = (),
    ) -> LeftOut:
        """Write positions (next offset by partition), streams and sightings in one transaction.

        Returns what of the sightings found no room.
        """
        with Session(to_write(self._engine)) as session, session.begin():
            rows = [
                {
                    "topic": self._topic,
                    "partition": partition,
                    "topic_id": topic_ids[partition],
                    "next_offset": next_offset,
                }
                for partition, next_offset in positions.items()
            ]
            upsert(session, PositionRow, rows)
            _write_streams(session, streams)
            return self._sightings.write(session, sightings)

    def forget(self, before_ms: int) -> int:
        """Delete streams that ended and had their last record before `before_ms`; how many.

        Where no more sightings find room, those from before that time make some.
        """
        with Session(to_write(self._engine)) as session, session.begin():
            self._sightings.make_room(session, before_ms)
            gone = session.scalars(
                delete(StreamRow)
                .where(StreamRow.ended, StreamRow.newest_ms < before_ms)
                .returning(StreamRow.stream)
            )
            return len(gone.all())


def _progress(row: StreamRow) -> Progress:
    return Progress(
        stream=int(row.stream, 16),
        worker=row.worker,
        partition=row.partition,
        started_at_ms=row.started_at_ms,
        last=row.last,
        minutes_until_ms=row.minutes_until_ms,
        hours_until_ms=row.hours_until_ms,
        ended=row.ended,
        listed=row.listed,
        newest_ms=row.newest_ms,
        appended_ms=row.appended_ms,
    )


def _write_streams(session: Session, streams: Iterable[Progress]) -> None:
    rows = [
        {
            "stream": f"{progress.stream:016x}",
            "worker": progress.worker,
            "partition": progress.partition,
            "started_at_ms": progress.started_at_ms,
            "last": progress.last,
            "minutes_until_ms": progress.minutes_until_ms,
            "hours_until_ms": progress.hours_until_ms,
            "ended": progress.ended,
            "listed": progress.listed,
            "newest_ms": progress.newest_ms,
            "appended_ms": progress.appended_ms,
        }
        for progress in streams
    ]
    upsert(session, StreamRow, rows)

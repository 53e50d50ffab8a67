"""Which exporters and interfaces the flows showed, and since when; bounded.

Source addresses and interface numbers can be forged: what comes when the tables are full is left
out and counted. Flows are counted all the same; only first and last sight are not known of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from services.central.messages import Seen
from services.central.metadata.models import ExporterSeenRow, InterfaceSeenRow
from services.central.metadata.upsert import upsert
from shared.addresses import format_address

EXPORTERS_MAX = 10_000
INTERFACES_MAX = 100_000
"""Some times what one system is made for: 20,000 interfaces."""

_Table = type[ExporterSeenRow] | type[InterfaceSeenRow]
_Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Sighting:
    """What was seen between two `received_at` (ms, UTC)."""

    seen: Seen
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """How many exporters (with their versions) and interfaces found no room."""

    exporters: int = 0
    interfaces: int = 0


class Sightings:
    """Writes what was seen; used by one thread."""

    def __init__(
        self,
        *,
        exporters_max: int | None = EXPORTERS_MAX,
        interfaces_max: int | None = INTERFACES_MAX,
    ) -> None:
        """exporters_max, interfaces_max: rows; None, which only a negative control says: any."""
        self._max: dict[_Table, int | None] = {
            ExporterSeenRow: exporters_max,
            InterfaceSeenRow: interfaces_max,
        }
        self._known: dict[_Table, set[_Key]] = {}
        self._is_full = False

    def write(self, session: Session, sightings: Iterable[Sighting]) -> LeftOut:
        """Note `sightings`: first sight only falls, last sight only grows."""
        exporters: dict[tuple[bytes, int], tuple[int, int]] = {}
        interfaces: dict[tuple[bytes, int], tuple[int, int]] = {}
        for sighting in sightings:
            for found, keys in (
                (exporters, sighting.seen.exporters),
                (interfaces, sighting.seen.interfaces),
            ):
                for key in keys:
                    first_ms, last_ms = found.get(key, (sighting.first_ms, sighting.last_ms))
                    found[key] = (min(first_ms, sighting.first_ms), max(last_ms, sighting.last_ms))
        return LeftOut(
            self._write(session, ExporterSeenRow, exporters),
            self._write(session, InterfaceSeenRow, interfaces),
        )

    def make_room(self, session: Session, before_ms: int) -> None:
        """Where something was left out since the last time, delete what was last seen before."""
        if self._is_full:
            for table in self._max:
                session.execute(delete(table).where(table.last_seen_ms < before_ms))
            self._known.clear()
            self._is_full = False

    def _write(
        self,
        session: Session,
        table: _Table,
        found: dict[tuple[bytes, int], tuple[int, int]],
    ) -> int:
        """Return how many found no room."""
        known, most, left_out = self._keys(session, table), self._max[table], 0
        name = _number(table)
        values: list[dict[str, object]] = []
        for (address, number), (first_ms, last_ms) in sorted(found.items()):
            exporter = format_address(address)
            if (exporter, number) not in known:
                if most is not None and len(known) >= most:
                    left_out += 1
                    continue
                # Of a transaction that fails it stays known: it is written again, and has its room.
                known.add((exporter, number))
            values.append(
                {
                    "exporter": exporter,
                    name: number,
                    "first_seen_ms": first_ms,
                    "last_seen_ms": last_ms,
                }
            )
        upsert(session, table, values, widen=True)
        self._is_full |= left_out > 0
        return left_out

    def _keys(self, session: Session, table: _Table) -> set[_Key]:
        if table not in self._known:
            rows = session.execute(select(table.exporter, getattr(table, _number(table))))
            self._known[table] = {(exporter, number) for exporter, number in rows}
        return self._known[table]


def _number(table: _Table) -> str:
    return "export_version" if table is ExporterSeenRow else "if_index"

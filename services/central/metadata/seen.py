"""What the flows showed of the network, for the API."""

from dataclasses import dataclass

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from services.central.metadata.models import ExporterSeenRow, InterfaceSeenRow


@dataclass(frozen=True, slots=True)
class SeenRow:
    """number: the export version or the ifIndex. Times: `received_at`, ms, UTC."""

    exporter: str
    number: int
    first_seen_ms: int
    last_seen_ms: int


def exporters_seen(engine: Engine) -> list[SeenRow]:
    """Return every exporter with each export version it sent."""
    with Session(engine) as session:
        rows = session.scalars(
            select(ExporterSeenRow).order_by(
                ExporterSeenRow.exporter, ExporterSeenRow.export_version
            )
        )
        return [
            SeenRow(r.exporter, r.export_version, r.first_seen_ms, r.last_seen_ms) for r in rows
        ]


def interfaces_seen(engine: Engine) -> list[SeenRow]:
    """Return every interface that flows named."""
    with Session(engine) as session:
        rows = session.scalars(
            select(InterfaceSeenRow).order_by(InterfaceSeenRow.exporter, InterfaceSeenRow.if_index)
        )
        return [SeenRow(r.exporter, r.if_index, r.first_seen_ms, r.last_seen_ms) for r in rows]

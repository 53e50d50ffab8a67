"""A table of the collectors' workers: whether they are heard, how fast, and whom they know."""

from collections.abc import Sequence

from services.central.collectors.listing import Heard, silent
from services.central.pages import units
from services.central.pages.desk import Answer, Desk, Question
from services.central.pages.elements import TableElement
from services.central.pages.panels import Asked
from services.central.pages.tables import Cell, Column

ROWS = 10
DASH = "\u2013"
# Names stand as numbers do: a column of text but the first is squeezed to its head.
COLUMNS = (
    Column("Collector", "text"),
    Column("fps", title="Flow records published over the last seconds, flows/s"),
    Column("Spool", title="What its spool takes on disk"),
    Column("Last seen", title="When it said something last; it does so every 5 s"),
    Column("Primary", title="Which central it knows as the primary"),
)


class CollectorsPanel:
    """All collectors, whatever the filters; it asks nothing of the store."""

    def __init__(self, desk: Desk) -> None:
        """Make the element where the page stands now."""
        self._desk = desk
        columns = [each.as_json() for each in COLUMNS]
        self.element = TableElement(
            {"title": "Collectors", "rows": [], "ghosts": 1, "busy": True, "columns": columns}
        )

    def questions(self, asked: Asked) -> Sequence[Question]:
        """Ask nothing."""
        return []

    def wait(self, asked: Asked) -> None:
        """Stay as it is."""

    def fail(self, sentence: str) -> None:
        """Show the collectors: they are known without the store."""
        self._show()

    def show(self, asked: Asked, answers: Sequence[Answer]) -> None:
        """Show the collectors."""
        self._show()

    def _show(self) -> None:
        self.element.show(
            busy=False,
            rows=collector_rows(self._desk.heard_collectors(), self._desk.now_ms),
            first=ROWS,
            empty="No collector has said anything yet",
        )


def collector_rows(heard: Sequence[Heard], now_ms: int) -> list[Cell]:
    """Return the rows of the table; of a silent collector nothing is shown that changes."""
    return [_row(each, now_ms) for each in heard]


def _row(heard: Heard, now_ms: int) -> Cell:
    record, is_silent = heard.record, silent(heard, now_ms)
    ago_s = max(0, now_ms - heard.heard_ms) / 1000
    rate = None if is_silent else record.flows_per_s
    return {
        "id": record.worker,
        "cells": [
            {
                "text": record.worker,
                "detail": record.version,
                "title": "; ".join((f"UDP {record.udp}", *record.reasons.values())),
            },
            {
                "text": DASH if rate is None else units.with_unit(rate, "fps"),
                "sort": -1 if rate is None else rate,
            },
            {
                "text": units.with_unit(record.spool_bytes, "B"),
                "sort": record.spool_bytes,
                "title": _unread(record.unread_datagrams),
            },
            {"text": _seen(ago_s, is_silent), "sort": -ago_s},
            {
                "text": record.primary or DASH,
                "title": f"epoch {record.epoch}" if record.primary else "",
            },
        ],
    }


def _unread(datagrams: int | None) -> str:
    return "" if datagrams is None else f"{units.count(datagrams)} datagrams not in Kafka yet"


def _seen(ago_s: float, is_silent: bool) -> str:
    if is_silent:
        return f"silent {units.age(ago_s)}"
    # Records come every 5 s: finer would only flicker.
    return "now" if ago_s < 10 else f"{units.age(ago_s)} ago"

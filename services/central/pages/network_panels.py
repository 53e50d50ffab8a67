"""Tables of exporters and of interfaces, with what passes them now."""

from collections.abc import Sequence
from functools import partial

from services.central import reports
from services.central.pages.desk import Answer, Desk, Question
from services.central.pages.elements import TableElement
from services.central.pages.network_tables import (
    Now,
    exporter_columns,
    exporter_rows,
    interface_columns,
    interface_rows,
)
from services.central.pages.panels import Asked
from services.central.reports import LIMIT_MAX

ROWS = 10
ROWS_MAX = 100
"""Rows that a click on `more` shows."""
NOTHING_KNOWN = Now(0, None, {}, {})


def now_of(desk: Desk, asked: Asked) -> Now:
    """Return what is known of this moment."""
    speeds = {key: each.speed_bps for key, each in asked.facts.interfaces.items()}
    return Now(desk.now_ms, desk.rates_now(asked.view.metric), asked.facts.seen_ms, speeds)


class ExportersPanel:
    """Exporters by what they reported."""

    def __init__(self, desk: Desk, rows: int = ROWS) -> None:
        """Make the element where the page stands now."""
        self._desk = desk
        self._rows = rows
        columns = [each.as_json() for each in exporter_columns("bytes", NOTHING_KNOWN)]
        self.element = TableElement(
            {"title": "Exporters", "rows": [], "ghosts": 4, "busy": True, "columns": columns}
        )

    def questions(self, asked: Asked) -> Sequence[Question]:
        """Return the one question, of the part of the range that can be answered."""
        within = asked.within(reports.exporters(asked.request(), ()))
        return [partial(reports.exporters, within.request(limit=LIMIT_MAX))]

    def wait(self, asked: Asked) -> None:
        """Keep the old rows, dimmed, until the new ones come."""
        self.element.show(busy=True)

    def fail(self, sentence: str) -> None:
        """Show the sentence in the table's place."""
        self.element.show(busy=False, trouble=sentence)

    def show(self, asked: Asked, answers: Sequence[Answer]) -> None:
        """Show the rows."""
        rows, statement = answers[0].rows, answers[0].statement
        now, context = now_of(self._desk, asked), asked.within(statement).context
        self.element.show(
            busy=False,
            trouble="",
            columns=[each.as_json() for each in exporter_columns(asked.view.metric, now)],
            rows=exporter_rows(rows, context, now, ROWS_MAX),
            first=self._rows,
            empty="No exporter in this range",
            note=asked.notes_on(statement),
        )


class InterfacesPanel:
    """Interfaces by rate; of one exporter alone where the page stands for one."""

    def __init__(self, desk: Desk, rows: int = ROWS, *, with_exporter: bool = True) -> None:
        """Make the element where the page stands now."""
        self._desk = desk
        self._rows = rows
        self._with_exporter = with_exporter
        columns = [each.as_json() for each in interface_columns("bytes", NOTHING_KNOWN)]
        self.element = TableElement(
            {"title": "Interfaces", "rows": [], "ghosts": rows, "busy": True, "columns": columns}
        )

    def questions(self, asked: Asked) -> Sequence[Question]:
        """Return the one question, of the part of the range that can be answered."""
        within = asked.within(reports.interfaces(asked.request(), ()))
        return [partial(reports.interfaces, within.request(limit=ROWS_MAX), busiest=True)]

    def wait(self, asked: Asked) -> None:
        """Keep the old rows, dimmed, until the new ones come."""
        self.element.show(busy=True)

    def fail(self, sentence: str) -> None:
        """Show the sentence in the table's place."""
        self.element.show(busy=False, trouble=sentence)

    def show(self, asked: Asked, answers: Sequence[Answer]) -> None:
        """Show the rows."""
        rows, statement = answers[0].rows, answers[0].statement
        now, context = now_of(self._desk, asked), asked.within(statement).context
        self.element.show(
            busy=False,
            trouble="",
            columns=[each.as_json() for each in interface_columns(asked.view.metric, now)],
            rows=interface_rows(rows, context, now, ROWS_MAX, with_exporter=self._with_exporter),
            first=self._rows,
            empty="No interface in this range",
            note=asked.notes_on(statement),
        )

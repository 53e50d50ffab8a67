"""A table of the largest groups: sources, destinations, conversations, applications."""

from collections.abc import Callable, Sequence
from functools import partial

from services.central import reports
from services.central.pages.desk import Answer, Question
from services.central.pages.elements import TableElement
from services.central.pages.panels import Asked
from services.central.pages.tables import Subject, top_columns, top_rows
from services.central.reports import ReportRequest

ROWS = 10
Filters = dict[str, list[str]]
Narrow = Callable[[Filters], Filters]


class TopPanel:
    """The largest groups by one name of `filters.BY`."""

    def __init__(
        self,
        title: str,
        subject: str,
        by: str,
        cell: Subject,
        rows: int = ROWS,
        *,
        narrow: Narrow | None = None,
    ) -> None:
        """Make the element where the page stands now.

        subject: heading of the first column. narrow: makes this panel's filters from the page's.
        """
        self._narrow = narrow
        self._subject = subject
        self._by = by
        self._cell = cell
        self._rows = rows
        self.element = TableElement({"title": title, "rows": [], "ghosts": rows, "busy": True})
        self._head("bytes")

    def questions(self, asked: Asked) -> Sequence[Question]:
        """Return the one question, of the part of the range that can be answered."""
        within = asked.within(reports.top(self._request(asked), ()))
        return [partial(reports.top, self._request(within))]

    def _request(self, asked: Asked) -> ReportRequest:
        filters = None if self._narrow is None else self._narrow(asked.filters)
        return asked.request(self._by, limit=self._rows, filters=filters)

    def wait(self, asked: Asked) -> None:
        """Keep the old rows, dimmed, until the new ones come."""
        self._head(asked.view.metric)
        self.element.show(busy=True)

    def fail(self, sentence: str) -> None:
        """Show the sentence in the table's place."""
        self.element.show(busy=False, trouble=sentence)

    def show(self, asked: Asked, answers: Sequence[Answer]) -> None:
        """Show the rows."""
        answer = answers[0]
        is_raw = answer.statement.source == "raw"
        why = f"No roll-up has this: every flow of the range was read, in {answer.seconds:.1f} s"
        self.element.show(
            busy=False,
            trouble="",
            rows=top_rows(answer.rows, self._cell, asked.within(answer.statement).context),
            empty="Nothing in this range",
            note=asked.notes_on(answer.statement) or ("from flow records" if is_raw else ""),
            note_title=why if is_raw else "",
        )

    def _head(self, metric: str) -> None:
        columns = [each.as_json() for each in top_columns(self._subject, metric)]
        self.element.show(columns=columns)

"""What a panel is: questions of one loading, and the element that shows their answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from services.central.filters import ReportError
from services.central.pages.covering import is_of_records
from services.central.pages.desk import Answer, Facts, Question
from services.central.pages.tables import Context
from services.central.pages.view import View, narrowed
from services.central.reports import ReportRequest, Statement


@dataclass(frozen=True, slots=True)
class Asked:
    """One loading of a page.

    fixed: filters that the page itself stands for. from_ms, to_ms: UTC, whole minutes; once totals
    are known, what they cover. heard_ms: up to when the log was read. totals: sums over everything
    that the filters pass; empty before they are known. by_way: the same sums of In and Out, where
    the page is about one end. marks: what a chart over time marks, as of `charts.over_time`. notes:
    sentences for the user on what the totals cover. of_records: the same of the part of the range
    of which flow records are kept; None where that is all of it.
    """

    view: View
    fixed: tuple[tuple[str, str], ...]
    from_ms: int
    to_ms: int
    heard_ms: int
    totals: Mapping[str, Any]  # Any: one JSON row of a report.
    facts: Facts
    by_way: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # Any: as above.
    marks: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()
    of_records: "Asked | None" = None

    @property
    def filters(self) -> dict[str, list[str]]:
        """The filters of page and view, as a report takes them."""
        return narrowed(self.view.filters, self.fixed)

    @property
    def until_ms(self) -> int:
        """How far there can be data."""
        return max(self.from_ms + 1000, min(self.to_ms, self.heard_ms))

    @property
    def since_ms(self) -> int:
        """Since when there can be data: a rate over the time before the first flow says nothing."""
        first_ms = self.facts.first_ms or 0
        return self.from_ms if first_ms >= self.until_ms else max(self.from_ms, first_ms)

    @property
    def seconds(self) -> float:
        """How long the range is, as far as there can be data."""
        return max(1.0, (min(self.to_ms, self.until_ms) - self.since_ms) / 1000)

    def within(self, *statements: Statement) -> "Asked":
        """Return the part of the range that all `statements` can answer, with its totals.

        Raises ReportError where there is none.
        """
        if self.of_records is None or not is_of_records(statements):
            return self
        if self.of_records.from_ms >= self.of_records.to_ms:
            problem = "only flow records answer this, and those of this range are dropped"
            raise ReportError("from", problem)
        return self.of_records

    def notes_on(self, *statements: Statement) -> str:
        """Return what the user has to know of `statements` beside what is said of the totals."""
        notes = [*self.within(*statements).notes, *(n for each in statements for n in each.notes)]
        return "; ".join(note for note in dict.fromkeys(notes) if note not in self.notes)

    @property
    def context(self) -> Context:
        """What cells of tables need."""
        names = {key: each.name for key, each in self.facts.interfaces.items()}
        return Context(self.view, self.seconds, self.totals, self.facts.exporters, names)

    def request(
        self,
        by: str | None = None,
        *,
        limit: int = 10,
        step_s: int | None = None,
        filters: Mapping[str, Sequence[str]] | None = None,
    ) -> ReportRequest:
        """Return a question over this range; sampling is scaled up."""
        return ReportRequest(
            from_ms=self.from_ms,
            to_ms=self.to_ms,
            by=by,
            metric=self.view.metric,
            scaled=True,
            limit=limit,
            step_s=step_s,
            filters=self.filters if filters is None else filters,
        )


class Panel(Protocol):
    """One part of a page. Only the loader of its page calls it, in the event loop."""

    def questions(self, asked: Asked) -> Sequence[Question]:
        """Return what has to be asked, answered in this order; raises ReportError."""

    def show(self, asked: Asked, answers: Sequence[Answer]) -> None:
        """Show the answers."""

    def wait(self, asked: Asked) -> None:
        """Say that answers are on their way, and drop what belongs to other filters."""

    def fail(self, sentence: str) -> None:
        """Say what went wrong."""

"""Takes the place of all other panels while there are no flows to show."""

from collections.abc import Sequence

from services.central import reports
from services.central.pages.desk import Answer, Desk, Question
from services.central.pages.elements import NothingElement
from services.central.pages.export_target import ExportTarget
from services.central.pages.nothing import NOTHING_MISSING, first_flows, nothing_here
from services.central.pages.panels import Asked
from services.central.reports import LATEST_MS, LIMIT_MAX, ReportRequest


class NothingPanel:
    """Says what to do next: configure the first router, widen the range, remove a filter."""

    def __init__(
        self, desk: Desk, target: ExportTarget, *, exporter: str | None = None, subject: str = ""
    ) -> None:
        """Make the element where the page stands now.

        exporter: the one that the page is about. subject: as of `nothing_here`.
        """
        self._desk = desk
        self._target = target
        self._exporter = exporter
        self._subject = subject
        self.element = NothingElement(NOTHING_MISSING)

    def questions(self, asked: Asked) -> Sequence[Question]:
        """Return what was lost ever, while nothing else ever came."""
        if asked.totals["flows"] or self._last_ms(asked) is not None:
            return []
        filters = {} if self._exporter is None else {"exporter": [self._exporter]}
        request = ReportRequest(from_ms=0, to_ms=LATEST_MS, limit=LIMIT_MAX, filters=filters)
        return [lambda streams, kept: reports.losses(request)]

    def wait(self, asked: Asked) -> None:
        """Stay as it is until the answer."""

    def fail(self, sentence: str) -> None:
        """Give way: the other panels say it."""
        self.element.show(**NOTHING_MISSING)

    def show(self, asked: Asked, answers: Sequence[Answer]) -> None:
        """Show what to do next, or give way."""
        last_ms = self._last_ms(asked)
        if asked.totals["flows"]:
            self.element.show(**NOTHING_MISSING)
        elif answers:
            collectors = self._desk.collectors()
            losses = answers[0].rows
            self.element.show(
                **first_flows(self._target, collectors, losses, exporter=self._exporter)
            )
        else:
            now_ms = self._desk.now_ms
            model = nothing_here(asked.view, subject=self._subject, now_ms=now_ms, last_ms=last_ms)
            self.element.show(**{**model, "warning": "; ".join(asked.notes)})

    def _last_ms(self, asked: Asked) -> int | None:
        seen = asked.facts.seen_ms
        if self._exporter is not None:
            return seen.get(self._exporter)
        return max(seen.values(), default=None)

"""The head of an exporter's, interface's or host's page."""

from collections.abc import Callable, Sequence
from functools import partial

from services.central import reports
from services.central.pages.desk import Answer, Question
from services.central.pages.elements import FactsElement, Model
from services.central.pages.facts import sampling_text
from services.central.pages.panels import Asked
from services.central.reports import ReportRequest

SAMPLED_MS = 5 * 60_000
"""Only raw rows know the sampling rate: those of the end of the range tell enough."""


class FactsPanel:
    """Shows what `make` returns; it asks nothing."""

    def __init__(self, title: str, make: Callable[[Asked], Model]) -> None:
        """Make the element where the page stands now; title: until there is more."""
        self._make = make
        self._later: list[Model] = []
        self.element = FactsElement({"title": title, "kind": "", "facts": []})

    def questions(self, asked: Asked) -> Sequence[Question]:
        """Ask nothing."""
        return []

    def wait(self, asked: Asked) -> None:
        """Stay as it is."""

    def fail(self, sentence: str) -> None:
        """Stay as it is: the other panels say it."""

    def show(self, asked: Asked, answers: Sequence[Answer]) -> None:
        """Show what is known."""
        model = self._make(asked)
        self.element.show(**{**model, "facts": [*model["facts"], *self._later]})

    def add(self, asked: Asked, fact: Model) -> None:
        """Show one more fact from now on, that came later."""
        self._later = [fact]
        self.show(asked, [])


class SamplingPanel:
    """Adds an exporter's sampling rate to its facts."""

    def __init__(self, address: str, facts: FactsPanel) -> None:
        """Belong to `facts`, which shows the answer."""
        self._address = address
        self._facts = facts

    def questions(self, asked: Asked) -> Sequence[Question]:
        """Return the one question, about the end of the range."""
        to_ms = min(asked.to_ms, asked.until_ms)
        request = ReportRequest(
            from_ms=max(asked.from_ms, to_ms - SAMPLED_MS),
            to_ms=asked.to_ms,
            by="sampling_rate",
            limit=5,
            filters={"exporter": [self._address]},
        )
        return [partial(reports.top, request)]

    def wait(self, asked: Asked) -> None:
        """Stay as it is."""

    def fail(self, sentence: str) -> None:
        """Stay as it is."""

    def show(self, asked: Asked, answers: Sequence[Answer]) -> None:
        """Show the rates."""
        title = "Of the last minutes of the range; the numbers of this page are scaled by it"
        text = sampling_text(answers[0].rows)
        self._facts.add(asked, {"label": "Sampling", "value": text, "title": title})

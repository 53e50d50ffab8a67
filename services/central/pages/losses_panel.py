"""A table of what was lost, why, and what to do about it."""

from collections.abc import Sequence

from services.central import reports
from services.central.pages import units
from services.central.pages.desk import Answer, Question
from services.central.pages.elements import TableElement
from services.central.pages.loss_reasons import explain
from services.central.pages.panels import Asked
from services.central.pages.tables import Cell, Column, Row
from services.central.reports import LIMIT_MAX, ReportRequest

COLUMNS = (
    Column("Reason", "text"),
    Column("Datagrams"),
    Column("Flows", title="Where it is known how many were in them"),
    Column("What to do", "text"),
)


class LossesPanel:
    """Losses of one exporter in the range."""

    def __init__(self, exporter: str) -> None:
        """Make the element where the page stands now."""
        self._exporter = exporter
        columns = [each.as_json() for each in COLUMNS]
        self.element = TableElement(
            {"title": "Losses", "rows": [], "busy": True, "columns": columns, "kind": "sf-wide"}
        )

    def questions(self, asked: Asked) -> Sequence[Question]:
        """Return the one question."""
        filters = {"exporter": [self._exporter]}
        request = ReportRequest(
            from_ms=asked.from_ms, to_ms=asked.to_ms, limit=LIMIT_MAX, filters=filters
        )
        return [lambda streams, kept: reports.losses(request)]

    def wait(self, asked: Asked) -> None:
        """Keep the old rows, dimmed, until the new ones come."""
        self.element.show(busy=True)

    def fail(self, sentence: str) -> None:
        """Show the sentence in the table's place."""
        self.element.show(busy=False, trouble=sentence)

    def show(self, asked: Asked, answers: Sequence[Answer]) -> None:
        """Show the rows."""
        rows = loss_rows(answers[0].rows)
        empty = "Nothing of this exporter was lost in this range"
        self.element.show(busy=False, trouble="", rows=rows, empty=empty)


def loss_rows(rows: Sequence[Row]) -> list[Cell]:
    """Return the rows of a table of losses, the most datagrams first."""
    found = []
    for row in sorted(rows, key=lambda each: (-each["datagrams"], each["reason"])):
        happened, advice = explain(row["reason"])
        flows = units.count(row["flows"]) if row["flows"] else "\u2013"
        found.append(
            {
                "id": f"{row['exporter']} {row['reason']}",
                "cells": [
                    {"text": happened, "title": row["reason"]},
                    {"text": units.count(row["datagrams"]), "sort": row["datagrams"]},
                    {"text": flows, "sort": row["flows"]},
                    {"text": advice, "title": advice},
                ],
            }
        )
    return found

"""Rows of the tables: answers of reports -> cells with text, links and what to sort by; pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.central.pages import links, units
from services.central.pages.applications import (
    application_detail,
    application_name,
    protocol_name,
)
from services.central.pages.view import View

Row = Mapping[str, Any]  # Any: one JSON value of a report's column.
Cell = dict[str, Any]  # Any: as `static/sf_table.js` reads it.


@dataclass(frozen=True, slots=True)
class Column:
    """kind: `text` or `number`; numbers stand right and sort largest first.

    is_minor: left out where the screen is narrow.
    """

    label: str
    kind: str = "number"
    title: str = ""
    is_minor: bool = False

    def as_json(self) -> Cell:
        """Return what `static/sf_table.js` reads."""
        kind = f"{self.kind} minor" if self.is_minor else self.kind
        return {"label": self.label, "kind": kind, "title": self.title}


@dataclass(frozen=True, slots=True)
class Context:
    """What cells need beside their row.

    seconds: length of the range. totals: the sums over everything that the filters pass.
    exporter_names: as users set them.
    """

    view: View
    seconds: float
    totals: Row
    exporter_names: Mapping[str, str]
    interface_names: Mapping[tuple[str, int], str]


Subject = Callable[[Row, Context], Cell]


def amount_column(metric: str) -> str:
    """Return the column of a report that a page orders and sums by; sampling is scaled up."""
    return "flows" if metric == "flows" else f"{metric}_scaled"


def top_columns(subject: str, metric: str) -> list[Column]:
    """Return the columns of a table of largest groups."""
    unit = units.SHORT_UNIT_OF[metric]
    return [
        Column(subject, "text"),
        Column(unit, title=f"Average over the range, {units.UNIT_OF[metric]}"),
        Column("Share", title="Part of everything that the filters pass"),
    ]


def top_rows(rows: Sequence[Row], subject: Subject, context: Context) -> list[Cell]:
    """Return the rows of a table of largest groups, as `top_columns` names them."""
    metric = context.view.metric
    column = amount_column(metric)
    whole = context.totals.get(column, 0)
    largest = max((row[column] for row in rows), default=0)
    found = []
    for row in rows:
        first = subject(row, context)
        found.append(
            {
                "id": first.pop("id"),
                "share": round(100 * row[column] / largest, 2) if largest else 0,
                "cells": [
                    first,
                    rate_cell(metric, row[column], context.seconds, sums_title(row)),
                    {"text": units.share(row[column], whole), "sort": row[column]},
                ],
            }
        )
    return found


def rate_cell(metric: str, amount: float, seconds: float, title: str = "") -> Cell:
    """Return the cell of an average rate."""
    value = units.rate(metric, amount, seconds)
    text = units.with_unit(value, units.SHORT_UNIT_OF[metric])
    return {"text": text, "sort": value, "title": title}


def sums_title(row: Row) -> str:
    """Return the exact sums of a row, to hover."""
    volume = units.with_unit(row["bytes_scaled"], "B")
    packets, flows = units.count(row["packets_scaled"]), units.count(row["flows"])
    return f"{volume}, {packets} packets, {flows} flows"


def address(name: str) -> Subject:
    """Return the cell of an address that filters by `name`, with the way to the host's page."""

    def cell(row: Row, context: Context) -> Cell:
        text = row[name]
        if text is None:
            return {"id": "unknown", "text": "unknown", "title": "The exporter sent no address"}
        return {
            "id": text,
            "text": text,
            "href": links.filtered(context.view, (name, text)),
            "open": links.host(text, context.view),
            "open_label": f"Open host {text}",
        }

    return cell


def conversation(row: Row, context: Context) -> Cell:
    """Return the cell of source and destination."""
    source, destination = row["src_addr"] or "unknown", row["dst_addr"] or "unknown"
    both = [(name, row[name]) for name in ("src_addr", "dst_addr") if row[name] is not None]
    href = links.filtered(context.view, *both)
    title = f"Show only {source} → {destination}"
    return {
        "id": f"{source} {destination}",
        "parts": [
            {"text": source, "href": href, "title": title},
            {"text": destination, "href": href, "title": title},
        ],
        "sort": f"{source} {destination}",
    }


def application(row: Row, context: Context) -> Cell:
    """Return the cell of an application."""
    protocol, port = row["protocol"], row["application_port"]
    detail = application_detail(protocol, port)
    name = application_name(protocol, port)
    return {
        "id": detail,
        "text": name,
        "detail": detail if name.lower() != detail else "",
        "href": links.filtered(context.view, ("application", detail)),
    }


def protocol(row: Row, context: Context) -> Cell:
    """Return the cell of a protocol."""
    number = row["protocol"]
    return {
        "id": str(number),
        "text": protocol_name(number),
        "href": links.filtered(context.view, ("protocol", str(number))),
    }


def autonomous_system(name: str) -> Subject:
    """Return the cell of an AS number that filters by `name`."""

    def cell(row: Row, context: Context) -> Cell:
        number = row[name]
        return {
            "id": str(number),
            "text": f"AS{number}" if number else "unknown",
            "sort": number,
            "href": links.filtered(context.view, (name, str(number))),
        }

    return cell

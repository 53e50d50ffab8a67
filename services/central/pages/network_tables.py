"""Rows of the tables of exporters and interfaces; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.central.pages import links, units
from services.central.pages.rates_now import Key, Rates
from services.central.pages.tables import Cell, Column, Context, Row, amount_column, sums_title
from services.central.pages.units import age


@dataclass(frozen=True, slots=True)
class Now:
    """What is known of this moment.

    rates: None while they are not known. seen_ms: latest flow of each exporter. speeds_bps: of
    interfaces where users set one.
    """

    now_ms: int
    rates: Rates | None
    seen_ms: Mapping[str, int]
    speeds_bps: Mapping[tuple[str, int], int]


def exporter_columns(metric: str, now: Now) -> list[Column]:
    """Return the columns of the table of exporters: what is not known has none."""
    unit = units.SHORT_UNIT_OF[metric]
    found = [
        Column("Exporter", "text"),
        Column("Last flow", title="When its newest flow came"),
        Column(unit, title=f"Average over the range, {units.UNIT_OF[metric]}"),
        Column("Share", title="Part of everything that the filters pass", is_minor=True),
    ]
    if now.rates is not None:
        found.append(Column("Now", title=f"{units.UNIT_OF[metric]} over the last minute"))
    return found


def exporter_rows(rows: Sequence[Row], context: Context, now: Now, limit: int) -> list[Cell]:
    """Return exporters, the largest first."""
    metric = context.view.metric
    column = amount_column(metric)
    whole = context.totals.get(column, 0)
    largest = max((row[column] for row in rows), default=0)
    found = []
    for row in sorted(rows, key=lambda each: -each[column])[:limit]:
        address = row["exporter"]
        rate = units.rate(metric, row[column], context.seconds)
        found.append(
            {
                "id": address,
                "share": round(100 * row[column] / largest, 2) if largest else 0,
                "cells": [
                    exporter_cell(row, context),
                    _seen(now, address),
                    {
                        "text": units.with_unit(rate, units.SHORT_UNIT_OF[metric]),
                        "sort": rate,
                        "title": sums_title(row),
                    },
                    {"text": units.share(row[column], whole), "sort": row[column]},
                    *_now_alone(metric, now, address),
                ],
            }
        )
    return found


def _now_alone(metric: str, now: Now, address: str) -> list[Cell]:
    return [] if now.rates is None else [rate_now(metric, now.rates, (address, None, "in"))]


def exporter_cell(row: Row, context: Context) -> Cell:
    """Return the cell of an exporter in a table of largest groups."""
    address = row["exporter"]
    name = context.exporter_names.get(address)
    return {
        "id": address,
        "text": name or address,
        "detail": address if name else "",
        "href": links.filtered(context.view, ("exporter", address)),
        "open": links.exporter(address, context.view),
        "open_label": f"Open exporter {name or address}",
    }


def interface_columns(metric: str, now: Now) -> list[Column]:
    """Return the columns of the table of interfaces: what is not known has none."""
    unit = units.UNIT_OF[metric]
    found = [
        Column("Interface", "text"),
        Column("In", title=f"Received, average over the range, {unit}"),
        Column("Out", title=f"Sent, average over the range, {unit}"),
    ]
    if now.rates is not None:
        found += [
            Column("In now", title=f"Received over the last minute, {unit}", is_minor=True),
            Column("Out now", title=f"Sent over the last minute, {unit}", is_minor=True),
        ]
    if now.speeds_bps:
        load = "The larger of both directions, of the speed set for the interface"
        found.append(Column("Load", title=load))
    return found


def interface_rows(
    rows: Sequence[Row], context: Context, now: Now, limit: int, *, with_exporter: bool = True
) -> list[Cell]:
    """Return interfaces, the busiest direction first."""
    metric = context.view.metric
    column = amount_column(metric)

    def busiest(row: Row) -> int:
        return int(max(row[f"in_{column}"], row[f"out_{column}"]))

    largest = max(map(busiest, rows), default=0)
    found = []
    for row in sorted(rows, key=lambda each: -busiest(each))[:limit]:
        address, index = row["exporter"], row["interface"]
        title = interface_name(context, address, index)
        exporter = context.exporter_names.get(address, address)
        cells = [
            {
                "text": title,
                "detail": exporter if with_exporter else "",
                "sort": f"{exporter} {index:>10}",
                "href": links.filtered(
                    context.view, ("exporter", address), ("interface", str(index))
                ),
                "open": links.interface(address, index, context.view),
                "open_label": f"Open {title} of {exporter}",
            },
            *(_mean(row, way, context, column) for way in ("in", "out")),
        ]
        if now.rates is not None:
            keys = [(address, index, way) for way in ("in", "out")]
            cells += [rate_now(metric, now.rates, key) for key in keys]
        if now.speeds_bps:
            cells.append(_load(row, context, now.speeds_bps.get((address, index), 0)))
        found.append(
            {
                "id": f"{address} {index}",
                "share": round(100 * busiest(row) / largest, 2) if largest else 0,
                "cells": cells,
            }
        )
    return found


def interface_name(context: Context, address: str, index: int) -> str:
    """Return the name users set, or the ifIndex; 0 is what exporters send for none."""
    if index == 0:
        return "no interface"
    return context.interface_names.get((address, index)) or f"if {index}"


def rate_now(metric: str, rates: Rates, key: Key) -> Cell:
    """Return the cell of a rate over the last minute; a dash where it was left out."""
    value = rates.of(key)
    if value is None:
        return {"text": "\u2013", "sort": -1, "title": "Less than the largest that are shown live"}
    return {"text": units.with_unit(value, units.SHORT_UNIT_OF[metric]), "sort": value}


def _seen(now: Now, address: str) -> Cell:
    seen_ms = now.seen_ms.get(address)
    if seen_ms is None:
        return {"text": "\u2013", "sort": 10**12}
    seconds = max(0, now.now_ms - seen_ms) / 1000
    return {"text": "now" if seconds < 10 else age(seconds), "sort": seconds}


def _mean(row: Row, way: str, context: Context, column: str) -> Cell:
    metric = context.view.metric
    rate = units.rate(metric, row[f"{way}_{column}"], context.seconds)
    sums = {name: row[f"{way}_{name}"] for name in ("bytes_scaled", "packets_scaled", "flows")}
    return {
        "text": units.with_unit(rate, units.SHORT_UNIT_OF[metric]),
        "sort": rate,
        "title": sums_title(sums),
    }


def _load(row: Row, context: Context, speed_bps: int) -> Cell:
    if not speed_bps:
        return {"text": "\u2013", "sort": -1, "title": "No speed is set for this interface"}
    most = max(row["in_bytes_scaled"], row["out_bytes_scaled"])
    rate = units.rate("bytes", most, context.seconds)
    text = units.share(rate, speed_bps)
    title = f"of {units.with_unit(speed_bps, 'bit/s')}"
    return {"text": text, "sort": rate / speed_bps, "title": title}

"""The chart over time: in and out, or divided by the largest groups."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from services.central import reports
from services.central.instants import parse_instant
from services.central.pages import buckets, links, palette, units
from services.central.pages.applications import (
    application_detail,
    application_name,
    dscp_name,
    protocol_name,
)
from services.central.pages.charts import Line, over_time
from services.central.pages.desk import Answer, Question
from services.central.pages.elements import ChartElement, Model
from services.central.pages.panels import Asked
from services.central.pages.tables import Row, amount_column
from services.central.pages.view import METRICS, View, write_view
from services.central.pages.ways import Way, alone, ways

GROUPS = 8
SPLIT_LABELS = {
    "way": "In / Out",
    "application": "Applications",
    "exporter": "Exporters",
    "protocol": "Protocols",
    "dscp": "DSCP",
}
METRIC_LABELS = {"bytes": "bit/s", "packets": "packets/s", "flows": "flows/s"}
Sums = dict[int, float]


class TrafficPanel:
    """Traffic over time."""

    def __init__(self, title: str = "Traffic over time", splits: Sequence[str] = ()) -> None:
        """Make the element where the page stands now; splits: which choices it offers."""
        self._splits = tuple(splits) or tuple(SPLIT_LABELS)
        self._ways: tuple[Way, ...] = ()
        self.element = ChartElement({"title": title, "spoken": title, "busy": True})

    def questions(self, asked: Asked) -> Sequence[Question]:
        """Return one question per way, or one of all groups and one of the rest."""
        step_s = buckets.step_s(asked.from_ms, asked.to_ms)
        self._ways = ways(asked.filters)
        # What is taken away must not cost a look at every flow.
        if any(way.less for way in self._ways) and not all(
            map(_is_quick, self._requests(asked, step_s))
        ):
            self._ways = alone(asked.filters)
        # What is drawn onto each other must be of the same time.
        within = asked.within(*map(_planned, self._requests(asked, step_s)))
        return [partial(reports.timeseries, each) for each in self._requests(within, step_s)]

    def _requests(self, asked: Asked, step_s: int) -> list[reports.ReportRequest]:
        if self._split(asked.view) != "way":
            by = asked.request(asked.view.split, step_s=step_s, limit=GROUPS)
            return [asked.request(step_s=step_s), by]
        return [
            asked.request(step_s=step_s, filters=filters)
            for way in self._ways
            for filters in (way.filters, way.less)
            if filters is not None
        ]

    def wait(self, asked: Asked) -> None:
        """Mark the choices at once: a click shows before its numbers come."""
        self.element.show(busy=True, choices=self._choices(asked.view))

    def fail(self, sentence: str) -> None:
        """Show the sentence in the chart's place."""
        self.element.show(busy=False, trouble=sentence)

    def show(self, asked: Asked, answers: Sequence[Answer]) -> None:
        """Draw the answers."""
        statements = [each.statement for each in answers]
        statement, within = statements[0], asked.within(*statements)
        step_s = int(str(statement.parameters.get("step_s", 60)))
        starts = buckets.starts_ms(statement.from_ms, statement.to_ms, step_s)
        grid = partial(
            buckets.rates,
            starts=starts,
            step=step_s,
            metric=asked.view.metric,
            from_ms=max(statement.from_ms, within.since_ms),
            until_ms=asked.until_ms,
        )
        is_split = self._split(asked.view) != "way"
        sums = self._groups(asked, answers) if is_split else self._by_way(asked, answers)
        lines = [replace(line, values=grid(values)) for line, values in sums]
        options = over_time(
            lines,
            starts,
            step_s=step_s,
            unit=units.UNIT_OF[asked.view.metric],
            stacked=is_split,
            from_ms=asked.from_ms,
            to_ms=asked.to_ms,
            marks=asked.marks,
        )
        totals = [sum(values.values()) for _, values in sums]
        notes = asked.notes_on(*statements)
        legend = [
            self._legend_entry(within, line, total)
            for line, total in zip(lines, totals, strict=True)
        ]
        self.element.show(
            busy=False,
            trouble="",
            empty="" if any(totals) else "No flows in this range",
            options=options,
            legend=legend,
            choices=self._choices(asked.view),
            spoken=", ".join(f"{each['name']} {each['value']}" for each in legend),
            note="; ".join(filter(None, [f"{_span(step_s)} per point", notes])),
        )

    def _split(self, view: View) -> str:
        return view.split if view.split in self._splits else self._splits[0]

    def _by_way(self, asked: Asked, answers: Sequence[Answer]) -> list[tuple[Line, Sums]]:
        given = iter(answers)
        column = amount_column(asked.view.metric)
        found = []
        for way in self._ways:
            sums = _by_bucket(next(given).rows, column)
            if way.less is not None:
                for at, value in _by_bucket(next(given).rows, column).items():
                    sums[at] = sums.get(at, 0) - value
            colour = palette.OUT if way.name == "Out" else palette.IN
            found.append((Line(way.name, (), colour, below=way.name == "Out"), sums))
        return found

    def _groups(self, asked: Asked, answers: Sequence[Answer]) -> list[tuple[Line, Sums]]:
        column = amount_column(asked.view.metric)
        whole = _by_bucket(answers[0].rows, column)
        groups: dict[tuple[str, str, str], Sums] = {}
        for row in answers[1].rows:
            sums = groups.setdefault(_group(asked, row), {})
            at = _at_ms(row)
            sums[at] = sums.get(at, 0) + row[column]
        largest = sorted(groups.items(), key=lambda each: -sum(each[1].values()))
        found = []
        for number, ((name, filter_name, value), sums) in enumerate(largest):
            href = links.filtered(asked.view, (filter_name, value))
            found.append((Line(name, (), palette.series(number), href=href), sums))
            for at, amount in sums.items():
                whole[at] = whole.get(at, 0) - amount
        if sum(whole.values()) > 0:
            found.append((Line("Others", (), palette.REST), whole))
        return found

    def _legend_entry(self, asked: Asked, line: Line, total: float) -> Model:
        mean = units.rate(asked.view.metric, total, asked.seconds)
        meaning = next((way.meaning for way in self._ways if way.name == line.name), "")
        return {
            "name": line.name,
            "colour": line.colour,
            "href": line.href,
            "value": units.with_unit(mean, units.UNIT_OF[asked.view.metric]),
            "title": f"Show only {line.name}" if line.href else meaning,
        }

    def _choices(self, view: View) -> list[Model]:
        chosen = self._split(view)
        splits = [
            {
                "label": SPLIT_LABELS[each],
                "href": write_view(replace(view, split=each)),
                "chosen": each == chosen,
            }
            for each in self._splits
        ]
        metrics = [
            {
                "label": METRIC_LABELS[each],
                "href": write_view(replace(view, metric=each)),
                "chosen": each == view.metric,
            }
            for each in METRICS
        ]
        return [{"label": "Divided by", "items": splits}, {"label": "Shown in", "items": metrics}]


def _planned(request: reports.ReportRequest) -> reports.Statement:
    return reports.timeseries(request, ())


def _is_quick(request: reports.ReportRequest) -> bool:
    return _planned(request).source == "rollups"


def _by_bucket(rows: Sequence[Row], column: str) -> Sums:
    return {_at_ms(row): row[column] for row in rows}


def _at_ms(row: Row) -> int:
    return parse_instant(row["at"], 0)


def _group(asked: Asked, row: Mapping[str, object]) -> tuple[str, str, str]:
    """Return a group's name and the filter that shows it alone."""
    match asked.view.split:
        case "application":
            protocol, port = int(str(row["protocol"])), int(str(row["application_port"]))
            return (
                application_name(protocol, port),
                "application",
                application_detail(protocol, port),
            )
        case "exporter":
            address = str(row["exporter"])
            return asked.facts.exporters.get(address, address), "exporter", address
        case "protocol":
            return protocol_name(int(str(row["protocol"]))), "protocol", str(row["protocol"])
        case _:
            return dscp_name(int(str(row["dscp"]))), "dscp", str(row["dscp"])


def _span(step_s: int) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if step_s % size == 0:
            return f"{step_s // size} {unit}"
    return f"{step_s} s"

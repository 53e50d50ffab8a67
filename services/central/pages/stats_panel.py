"""Headline numbers of the range, and what was lost in it."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from services.central import reports
from services.central.answers import losses_by_reason
from services.central.pages import units
from services.central.pages.desk import Answer, Desk, Question
from services.central.pages.elements import Model, StatsElement
from services.central.pages.loss_reasons import explain
from services.central.pages.panels import Asked
from services.central.pages.rates_now import whole_rate
from services.central.pages.tables import Row
from services.central.reports import LIMIT_MAX, ReportRequest


class StatsPanel:
    """Sums and mean rates of everything that the filters pass."""

    def __init__(self, desk: Desk) -> None:
        """Make the element where the page stands now."""
        self._desk = desk
        self.element = StatsElement({"stats": stats({}, 1.0), "losses": [], "busy": True})

    def questions(self, asked: Asked) -> Sequence[Question]:
        """Return what was lost; the totals come with `asked`."""
        exporters = {k: v for k, v in asked.filters.items() if k == "exporter"}
        request = ReportRequest(
            from_ms=asked.from_ms, to_ms=asked.to_ms, limit=LIMIT_MAX, filters=exporters
        )
        return [lambda streams, kept: reports.losses(request)]

    def wait(self, asked: Asked) -> None:
        """Dim the old numbers."""
        self.element.show(busy=True)

    def fail(self, sentence: str) -> None:
        """Show the sentence beside the numbers."""
        self.element.show(busy=False, trouble=sentence)

    def show(self, asked: Asked, answers: Sequence[Answer]) -> None:
        """Show totals and losses."""
        self.element.show(
            busy=False,
            trouble="",
            stats=[*self._now(asked), *stats(asked.totals, asked.seconds, asked.by_way)],
            losses=lost(answers[0].rows),
            note="; ".join(asked.notes),
        )

    def _now(self, asked: Asked) -> list[Model]:
        """Return what passes now, where it is known."""
        metric = asked.view.metric
        value = whole_rate(self._desk.rates_now(metric), asked.filters)
        if value is None:
            return []
        title = "Over the last minute, from the live rates"
        return [{"label": "Now", "value": units.rate_text(metric, value), "title": title}]


LABELS = ("Traffic", "Packets", "Flows", "Volume")


def stats(
    totals: Row, seconds: float, by_way: Mapping[str, Row] = MappingProxyType({})
) -> list[Model]:
    """Return the headline numbers; dashes before they are known.

    by_way: sums of In and Out where a page is about one end.
    """
    if not totals:
        return [{"label": name, "value": "\u2013"} for name in LABELS]
    volume = totals["bytes_scaled"]
    is_sampled = totals["bytes_scaled"] != totals["bytes"]
    note = "Average over the range" + (
        ", flows of sampling exporters times their rate" if is_sampled else ""
    )
    traffic = {name: row["bytes_scaled"] for name, row in by_way.items()} or {"Traffic": volume}
    return [
        *(
            {"label": name, "value": _rate("bytes", amount, seconds), "title": note}
            for name, amount in traffic.items()
        ),
        {
            "label": "Packets",
            "value": _rate("packets", totals["packets_scaled"], seconds),
            "title": _exact(totals, "packets_scaled"),
        },
        {
            "label": "Flows",
            "value": _rate("flows", totals["flows"], seconds),
            "title": _exact(totals, "flows"),
        },
        {
            "label": "Volume, sampling scaled up" if is_sampled else "Volume",
            "value": units.with_unit(volume, "B"),
            "title": f"{units.count(volume)} bytes",
        },
    ]


def lost(rows: Sequence[Row]) -> list[Model]:
    """Return losses by reason, the most datagrams first."""
    found = sorted(losses_by_reason(rows).items(), key=lambda each: -each[1]["datagrams"])
    return [
        {
            "reason": reason,
            "text": _loss_text(sums["datagrams"], sums["flows"], reason),
            "title": _exporters_of(rows, reason),
        }
        for reason, sums in found
    ]


def _loss_text(datagrams: int, flows: int, reason: str) -> str:
    what = f"{units.count(datagrams)} datagram" + "s" * (datagrams != 1)
    if flows:
        what += f" ({units.count(flows)} flows)"
    return f"{what}: {explain(reason)[0]}"


def _exporters_of(rows: Sequence[Row], reason: str) -> str:
    exporters = [str(row["exporter"]) for row in rows if row["reason"] == reason]
    shown = ["unknown exporter" if each == "::" else each for each in exporters[:5]]
    more = f" and {len(exporters) - 5} more" if len(exporters) > 5 else ""
    return f"{reason}: {', '.join(shown)}{more}"


def _rate(metric: str, amount: int, seconds: float) -> str:
    return units.rate_text(metric, units.rate(metric, amount, seconds))


def _exact(totals: Row, column: str) -> str:
    return f"{units.count(totals[column])} in all"

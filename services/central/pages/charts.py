"""Options of ECharts as plain data; pure.

`sf` is read by `static/sf_chart.js`: the unit for axis and tooltip, and where a click leads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.central.pages.palette import AXIS, GRID, TEXT

Options = dict[str, Any]  # Any: nested JSON as ECharts documents it.


@dataclass(frozen=True, slots=True)
class Line:
    """One series: rates per bucket, None where there is none to show.

    below: drawn downwards. href: where a click leads, a query string.
    """

    name: str
    values: Sequence[float | None]
    colour: str
    below: bool = False
    href: str | None = None


def over_time(
    lines: Sequence[Line],
    starts_ms: Sequence[int],
    *,
    step_s: int,
    unit: str,
    stacked: bool,
    from_ms: int,
    to_ms: int,
    marks: Sequence[Mapping[str, Any]] = (),
) -> Options:
    """Return a chart of rates over time; areas, stacked on each other where asked.

    marks: instants to be marked, each with `at` in ms and a `name`.
    """
    series = [_series(line, starts_ms, stacked=stacked) for line in lines]
    if series:
        series[0]["markLine"] = _marked(marks)
    return {
        "animation": False,
        "aria": {"enabled": True},
        "grid": {"left": 8, "right": 12, "top": 12, "bottom": 4, "containLabel": True},
        "xAxis": {
            "type": "time",
            "min": from_ms,
            "max": to_ms,
            "axisLine": {"lineStyle": {"color": AXIS}},
            "axisTick": {"lineStyle": {"color": AXIS}},
            "axisLabel": {
                "color": TEXT,
                "fontSize": 11,
                "hideOverlap": True,
                "alignMinLabel": "left",
                "alignMaxLabel": "right",
            },
            "splitLine": {"show": False},
        },
        "yAxis": {
            "type": "value",
            "axisLabel": {"color": TEXT, "fontSize": 11},
            "splitLine": {"lineStyle": {"color": GRID}},
            "splitNumber": 4,
        },
        "tooltip": {"trigger": "axis", "axisPointer": {"lineStyle": {"color": AXIS}}},
        "series": series,
        "sf": {"unit": unit, "step_ms": step_s * 1000, "hrefs": [line.href for line in lines]},
    }


def _marked(marks: Sequence[Mapping[str, Any]]) -> Options:
    return {
        "silent": False,
        "symbol": ["none", "triangle"],
        "symbolSize": 7,
        "animation": False,
        "label": {"show": False},
        "lineStyle": {"color": TEXT, "type": "dashed", "width": 1},
        "emphasis": {"label": {"show": True, "formatter": "{b}", "color": TEXT}},
        "data": [{"xAxis": mark["at"], "name": mark["name"]} for mark in marks],
    }


def _series(line: Line, starts_ms: Sequence[int], *, stacked: bool) -> Options:
    sign = -1 if line.below else 1
    points = [
        [start, None if value is None else sign * value]
        for start, value in zip(starts_ms, line.values, strict=True)
    ]
    return {
        "type": "line",
        "name": line.name,
        "data": points,
        "showSymbol": False,
        "symbolSize": 5,
        "step": False,
        "lineStyle": {"width": 1.25 if stacked else 1.75, "color": line.colour},
        "itemStyle": {"color": line.colour},
        "areaStyle": {"color": line.colour, "opacity": 0.72 if stacked else 0.22},
        "emphasis": {"disabled": True},
        **({"stack": "below" if line.below else "all"} if stacked else {}),
        "triggerLineEvent": True,
    }

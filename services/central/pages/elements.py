"""The elements that pages are made of; each shows one `model` and is changed in place."""

from typing import Any

# Importing it puts the bundle of ECharts where `sf_chart.js` finds it.
import nicegui.elements.echart  # noqa: F401
from nicegui.element import Element

Model = dict[str, Any]  # Any: nested JSON as the element's script reads it.


class _Modelled(Element):
    """Shows `model`; a new one replaces the old."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._props["model"] = model

    def show(self, **changes: Any) -> None:  # Any: as of Model.
        """Change parts of the model; tells the browser only when something differs."""
        model = {**self._props["model"], **changes}
        if model != self._props["model"]:
            self._props["model"] = model
            self.update()


class HeaderElement(_Modelled, component="static/sf_header.js"):
    """The bar on top."""


class StripElement(_Modelled, component="static/sf_strip.js"):
    """Who is primary, below the bar."""


class FailoverElement(_Modelled, component="static/sf_failover.js"):
    """All of the Failover page."""


class MachinesElement(_Modelled, component="static/sf_machines.js"):
    """Machines that join or stand by; takes no room while there is none."""


class AdministrationElement(_Modelled, component="static/sf_administration.js"):
    """All of the page of settings, tokens and the record of changes."""


class ChartElement(_Modelled, component="static/sf_chart.js"):
    """A panel with a chart over time."""


class TableElement(_Modelled, component="static/sf_table.js"):
    """A panel with a table."""


class StatsElement(_Modelled, component="static/sf_stats.js"):
    """A row of headline numbers."""


class NothingElement(_Modelled, component="static/sf_nothing.js"):
    """What to do next, in place of all other panels; takes no room while there are flows."""


class FactsElement(_Modelled, component="static/sf_facts.js"):
    """What a page is about, and what is known of it beside the flows."""

"""The page at `/`: the whole network, or what the filters pass of it."""

from fastapi import Request
from nicegui import ui

from services.central.pages import tables
from services.central.pages.collectors_panel import CollectorsPanel
from services.central.pages.desk import Desk
from services.central.pages.frame import Frame
from services.central.pages.header import Crumb
from services.central.pages.network_panels import ExportersPanel, InterfacesPanel
from services.central.pages.nothing_panel import NothingPanel
from services.central.pages.stats_panel import StatsPanel
from services.central.pages.top_panel import TopPanel
from services.central.pages.traffic_panel import TrafficPanel


def overview(desk: Desk, request: Request) -> None:
    """Build the page in the client at hand."""
    frame = Frame(desk, request, lambda read, facts: [Crumb("Overview")])
    with frame.body:
        nothing = NothingPanel(desk, frame.export_target)
        stats = StatsPanel(desk)
        traffic = TrafficPanel()
        with ui.element("div").classes("sf-grid"):
            sources = TopPanel("Top sources", "Source", "src_addr", tables.address("src_addr"))
            destinations = TopPanel(
                "Top destinations", "Destination", "dst_addr", tables.address("dst_addr")
            )
            applications = TopPanel(
                "Top applications", "Application", "application", tables.application
            )
            conversations = TopPanel(
                "Top conversations", "Source → destination", "conversation", tables.conversation
            )
            interfaces = InterfacesPanel(desk)
            exporters = ExportersPanel(desk)
            collectors = CollectorsPanel(desk)
    frame.start(
        nothing,
        stats,
        traffic,
        sources,
        destinations,
        applications,
        interfaces,
        exporters,
        conversations,
        collectors,
    )

"""The page of one host: what was sent to it and by it, with whom, and who saw it."""

from fastapi import Request
from nicegui import ui

from services.central.pages import links, tables
from services.central.pages.desk import Desk, Facts
from services.central.pages.elements import Model
from services.central.pages.facts_panels import FactsPanel
from services.central.pages.frame import Frame
from services.central.pages.header import Crumb
from services.central.pages.network_tables import exporter_cell
from services.central.pages.nothing_panel import NothingPanel
from services.central.pages.panels import Asked
from services.central.pages.stats_panel import StatsPanel
from services.central.pages.top_panel import TopPanel
from services.central.pages.traffic_panel import TrafficPanel
from services.central.pages.view import Read
from services.central.pages.ways import one_way


def host_page(desk: Desk, request: Request, address: str) -> None:
    """Build the page in the client at hand; address: as reports write it."""

    def crumbs(read: Read, facts: Facts) -> list[Crumb]:
        return [Crumb("Overview", links.overview(read.view)), Crumb(address)]

    def about(asked: Asked) -> Model:
        return {"title": address, "kind": "host", "facts": []}

    as_source, as_destination = one_way("host", "src_addr"), one_way("host", "dst_addr")
    frame = Frame(desk, request, crumbs, fixed=[("host", address)])
    with frame.body:
        nothing = NothingPanel(desk, frame.export_target, subject=f"of host {address}")
        facts = FactsPanel(address, about)
        stats = StatsPanel(desk)
        traffic = TrafficPanel(splits=("way", "application", "protocol", "exporter"))
        with ui.element("div").classes("sf-grid"):
            senders = TopPanel(
                "Received from", "Source", "src_addr", tables.address("src_addr"),
                narrow=as_destination,
            )  # fmt: skip
            receivers = TopPanel(
                "Sent to", "Destination", "dst_addr", tables.address("dst_addr"),
                narrow=as_source,
            )  # fmt: skip
            received, sent = (
                TopPanel(title, "Application", "application", tables.application, narrow=narrow)
                for title, narrow in (
                    ("Applications received", as_destination),
                    ("Applications sent", as_source),
                )
            )
            conversations = TopPanel(
                "Top conversations", "Source → destination", "conversation", tables.conversation
            )
            exporters = TopPanel("Seen by", "Exporter", "exporter", exporter_cell)
    frame.start(
        nothing, facts, stats, traffic, senders, receivers, received, sent, conversations,
        exporters,
    )  # fmt: skip

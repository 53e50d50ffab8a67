"""The page of one exporter: what it reported, its interfaces, what of it was lost."""

from fastapi import Request
from nicegui import ui

from services.central.pages import links, tables
from services.central.pages.desk import Desk, Facts
from services.central.pages.elements import Model
from services.central.pages.facts import exporter_facts
from services.central.pages.facts_panels import FactsPanel, SamplingPanel
from services.central.pages.frame import Frame
from services.central.pages.header import Crumb
from services.central.pages.losses_panel import LossesPanel
from services.central.pages.network_panels import InterfacesPanel
from services.central.pages.nothing_panel import NothingPanel
from services.central.pages.panels import Asked
from services.central.pages.stats_panel import StatsPanel
from services.central.pages.top_panel import TopPanel
from services.central.pages.traffic_panel import TrafficPanel
from services.central.pages.view import Read

INTERFACES = 20


def exporter_page(desk: Desk, request: Request, address: str) -> None:
    """Build the page in the client at hand; address: as reports write it."""

    def crumbs(read: Read, facts: Facts) -> list[Crumb]:
        here = Crumb(facts.exporters.get(address, address))
        return [Crumb("Overview", links.overview(read.view)), here]

    def about(asked: Asked) -> Model:
        facts = asked.facts
        seen = facts.sightings.get(address, ())
        return exporter_facts(address, facts.exporters.get(address), seen, desk.now_ms)

    frame = Frame(desk, request, crumbs, fixed=[("exporter", address)])
    with frame.body:
        nothing = NothingPanel(
            desk, frame.export_target, exporter=address, subject=f"from {address}"
        )
        facts = FactsPanel(address, about)
        stats = StatsPanel(desk)
        traffic = TrafficPanel(splits=("way", "application", "protocol", "dscp"))
        with ui.element("div").classes("sf-grid"):
            interfaces = InterfacesPanel(desk, INTERFACES, with_exporter=False)
            interfaces.element.show(kind="sf-two-rows")
            applications = TopPanel(
                "Top applications", "Application", "application", tables.application
            )
            sources = TopPanel("Top sources", "Source", "src_addr", tables.address("src_addr"))
            destinations = TopPanel(
                "Top destinations", "Destination", "dst_addr", tables.address("dst_addr")
            )
            conversations = TopPanel(
                "Top conversations", "Source → destination", "conversation", tables.conversation
            )
            losses = LossesPanel(address)
    sampling = SamplingPanel(address, facts)
    frame.start(
        nothing, facts, stats, traffic, interfaces, applications, sources, destinations, losses,
        sampling, conversations,
    )  # fmt: skip

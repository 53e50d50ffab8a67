"""The page of one interface of an exporter: what it received and sent."""

from fastapi import Request
from nicegui import ui

from services.central.pages import links, tables
from services.central.pages.desk import Desk, Facts, Interface
from services.central.pages.elements import Model
from services.central.pages.facts import interface_facts, load_text
from services.central.pages.facts_panels import FactsPanel
from services.central.pages.frame import Frame
from services.central.pages.header import Crumb
from services.central.pages.nothing_panel import NothingPanel
from services.central.pages.panels import Asked
from services.central.pages.stats_panel import StatsPanel
from services.central.pages.top_panel import TopPanel
from services.central.pages.traffic_panel import TrafficPanel
from services.central.pages.view import Read
from services.central.pages.ways import one_way

UNNAMED = Interface("", 0)


def interface_page(desk: Desk, request: Request, address: str, index: int) -> None:
    """Build the page in the client at hand; address: as reports write it."""

    def known(facts: Facts) -> Interface:
        return facts.interfaces.get((address, index), UNNAMED)

    def title(facts: Facts) -> str:
        return known(facts).name or f"if {index}"

    def crumbs(read: Read, facts: Facts) -> list[Crumb]:
        exporter = facts.exporters.get(address, address)
        return [
            Crumb("Overview", links.overview(read.view)),
            Crumb(exporter, links.exporter(address, read.view)),
            Crumb(title(facts)),
        ]

    def about(asked: Asked) -> Model:
        speed_bps = known(asked.facts).speed_bps
        exporter = asked.facts.exporters.get(address, address)
        href = links.exporter(address, asked.view)
        model = interface_facts(title(asked.facts), index, speed_bps, exporter, href)
        if speed_bps:
            load = load_text(asked.by_way, asked.seconds, speed_bps)
            model["facts"].append({"label": "Load in / out", "value": load})
        return model

    fixed = [("exporter", address), ("interface", str(index))]
    subject = f"of interface {index} of {address}"
    frame = Frame(desk, request, crumbs, fixed=fixed)
    with frame.body:
        nothing = NothingPanel(desk, frame.export_target, exporter=address, subject=subject)
        facts = FactsPanel(f"if {index}", about)
        stats = StatsPanel(desk)
        traffic = TrafficPanel(splits=("way", "application", "protocol", "dscp"))
        with ui.element("div").classes("sf-grid"):
            received, sent = (
                TopPanel(
                    f"Top applications {way}", "Application", "application", tables.application,
                    narrow=one_way("interface", column),
                )
                for way, column in (("in", "in_if"), ("out", "out_if"))
            )  # fmt: skip
            sources = TopPanel("Top sources", "Source", "src_addr", tables.address("src_addr"))
            destinations = TopPanel(
                "Top destinations", "Destination", "dst_addr", tables.address("dst_addr")
            )
            conversations = TopPanel(
                "Top conversations", "Source → destination", "conversation", tables.conversation
            )
    frame.start(
        nothing, facts, stats, traffic, received, sent, sources, destinations, conversations
    )

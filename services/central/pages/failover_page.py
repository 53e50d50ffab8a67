"""The page at `/failover`: who is primary and why, and every change of that by a person."""

from fastapi import Request

from services.central.pages import links
from services.central.pages.desk import Desk
from services.central.pages.elements import FailoverElement, MachinesElement
from services.central.pages.frame import Frame
from services.central.pages.header import Crumb


def failover_page(desk: Desk, request: Request) -> None:
    """Build the page in the client at hand."""
    frame = Frame(
        desk,
        request,
        lambda read, facts: [
            Crumb("Overview", links.overview(read.view)),
            Crumb("Failover Settings"),
        ],
        is_timeless=True,
    )
    with frame.body:
        model = desk.failover()
        element = FailoverElement(model)
        with element:
            machines = MachinesElement({"machines": model["machines"]})

    def show() -> None:
        model = desk.failover()
        machines.show(machines=model["machines"])
        element.show(**model)

    frame.start(watched=show)

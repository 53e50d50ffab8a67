"""The page at `/administration`: settings, password, API tokens, and who changed what."""

from fastapi import Request

from services.central.pages import links
from services.central.pages.desk import Desk
from services.central.pages.elements import AdministrationElement
from services.central.pages.frame import Frame
from services.central.pages.header import Crumb


def administration_page(desk: Desk, request: Request) -> None:
    """Build the page in the client at hand; what it shows it asks of the API, as its session."""
    frame = Frame(
        desk,
        request,
        lambda read, facts: [
            Crumb("Overview", links.overview(read.view)),
            Crumb("Administration"),
        ],
        is_timeless=True,
    )
    with frame.body:
        AdministrationElement({"account": frame.account})
    frame.start()

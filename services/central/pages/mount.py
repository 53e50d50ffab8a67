"""Puts the pages onto the central's HTTP server, beside its API."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exception_handlers import http_exception_handler
from nicegui import app as pages_app
from nicegui import core, run, ui
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount
from starlette.types import Scope

from services.central.login.access import is_of_host
from services.central.pages.administration_page import administration_page
from services.central.pages.desk import Desk
from services.central.pages.exporter_page import exporter_page
from services.central.pages.failover_page import failover_page
from services.central.pages.head import ASSETS, STATIC, page_head
from services.central.pages.host_page import host_page
from services.central.pages.interface_page import interface_page
from services.central.pages.overview import overview
from services.central.pages.path_parts import INDEX_MAX, read_address, read_index
from services.central.pages.problem_page import broken, not_found, shown

_PAGES = ("/exporters/", "/hosts/")
_OURS = (*_PAGES, "/_nicegui", f"{ASSETS}/")
_EXACTLY = ("/", "/failover", "/administration", "/favicon.ico")

RECONNECT_S = 10.0
"""How long a tab that lost its connection may come back to the page it had."""
HISTORY = 100
"""Messages kept for that."""

Page = Callable[..., None]


def mount_pages(app: FastAPI, desk: Desk) -> None:
    """Serve the pages from `app`; once per process, as NiceGUI has one application per process.

    NiceGUI's own storage is not used, so it has no secret and no cookie.
    """
    _add_routes(desk)
    pages_app.add_static_files(ASSETS, STATIC, max_cache_age=365 * 86_400)
    ui.add_head_html(page_head(), shared=True)
    ui.add_body_html((STATIC / "first.html").read_text(), shared=True)
    accept_origins()
    run.process_pool_start_method = "spawn"
    ui.run_with(
        app,
        title="steadflow",
        favicon=STATIC / "favicon.svg",
        dark=None,
        language="en-US",
        binding_refresh_interval=None,
        reconnect_timeout=RECONNECT_S,
        message_history_length=HISTORY,
        tailwind=False,
        show_welcome_message=False,
    )
    # What is no page stays the API's to answer, unknown addresses too.
    mounted = app.router.routes[-1]
    assert isinstance(mounted, Mount)
    app.router.routes[-1] = PagesOnly("/", app=mounted.app)


def accept_origins(*, of_others: bool = False) -> None:
    """Let pages of this server alone connect to it.

    A page of another origin must not read the numbers through the browser of who may see them.
    of_others: only a negative control lets them.
    """
    core.sio.eio.cors_allowed_origins = "*" if of_others else _is_own


def _is_own(origin: str | None, environ: Mapping[str, Any]) -> bool:
    """Whether a connection comes from a page of this server, as for changes. environ: of WSGI."""
    host = str(environ.get("HTTP_HOST", ""))
    return bool(host) and is_of_host(origin or "", host)


class PagesOnly(Mount):
    """Mounts the pages' application, and leaves every other address to the API."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match the addresses of pages and of what they need, alone."""
        path = scope.get("path", "")
        if path not in _EXACTLY and not path.startswith(_OURS):
            return Match.NONE, {}
        return super().matches(scope)


def _add_routes(desk: Desk) -> None:
    def missing(sentence: str) -> Response:
        return not_found(sentence, head=page_head(), central=desk.name)

    @ui.page("/")
    def _overview(request: Request) -> None:
        overview(desk, request)

    @ui.page("/failover")
    def _failover(request: Request) -> None:
        failover_page(desk, request)

    @ui.page("/administration")
    def _administration(request: Request) -> None:
        administration_page(desk, request)

    @ui.page("/exporters/{address}")
    def _exporter(request: Request, address: str) -> Response | None:
        if (exporter := read_address(address)) is None:
            return missing(f"“{shown(address)}” is no IP address, so it is no exporter.")
        exporter_page(desk, request, exporter)
        return None

    @ui.page("/exporters/{address}/interfaces/{index}")
    def _interface(request: Request, address: str, index: str) -> Response | None:
        exporter, number = read_address(address), read_index(index)
        if exporter is None:
            return missing(f"“{shown(address)}” is no IP address, so it is no exporter.")
        if number is None:
            return missing(f"“{shown(index)}” is no ifIndex, which is a number up to {INDEX_MAX}.")
        interface_page(desk, request, exporter, number)
        return None

    @ui.page("/hosts/{address}")
    def _host(request: Request, address: str) -> Response | None:
        if (host := read_address(address)) is None:
            return missing(f"“{shown(address)}” is no IP address, so it is no host.")
        host_page(desk, request, host)
        return None

    async def unknown(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if request.url.path.startswith(_PAGES):
            return missing(f"There is no page at {shown(request.url.path)}.")
        return await http_exception_handler(request, error)

    async def failed(request: Request, error: Exception) -> Response:
        # The server logs it with its traceback, which is nobody's to see but the operator's.
        return broken(head=page_head(), central=desk.name)

    pages_app.add_exception_handler(HTTPStatus.NOT_FOUND, unknown)
    pages_app.add_exception_handler(Exception, failed)

"""Addresses of pages and of views; pure."""

from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import quote

from services.central.pages.view import View, write_view

CARRIED = ("range", "metric", "zone", "refresh_s", "theme")
"""What another page takes over: all but filters and split."""


def overview(view: View) -> str:
    """Return the address of the overview over the same time."""
    return "/" + _tail(_plain(view))


def failover(view: View) -> str:
    """Return the address of the Failover page."""
    return "/failover" + _tail(_plain(view))


def administration(view: View) -> str:
    """Return the address of the page of settings, tokens and the record of changes."""
    return "/administration" + _tail(_plain(view))


def exporter(address: str, view: View) -> str:
    """Return the address of an exporter's page over the same time."""
    return f"/exporters/{quote(address, safe=':')}{_tail(_plain(view))}"


def interface(address: str, index: int, view: View) -> str:
    """Return the address of an interface's page over the same time."""
    return f"/exporters/{quote(address, safe=':')}/interfaces/{index}{_tail(_plain(view))}"


def host(address: str, view: View) -> str:
    """Return the address of a host's page over the same time."""
    return f"/hosts/{quote(address, safe=':')}{_tail(_plain(view))}"


def filtered(view: View, *filters: tuple[str, str]) -> str:
    """Return the query of the view with filters added."""
    return write_view(view.filtered(*filters))


def without(view: View, removed: Iterable[tuple[str, str]]) -> str:
    """Return the query of the view without these filters."""
    return write_view(view.without(*removed))


def _plain(view: View) -> View:
    return replace(View(), **{name: getattr(view, name) for name in CARRIED})


def _tail(view: View) -> str:
    query = write_view(view)
    return "" if query == "?" else query

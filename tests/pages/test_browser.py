"""That the watch over a page would notice: each kind of trouble, made on purpose."""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.pages.browser import browsing, chromium_running, until

PAGES = {
    "/clean": "<h1>fine</h1>",
    "/image": "<img src='http://192.0.2.1/pixel.png'>",
    "/font": "<style>@import url('https://fonts.example.org/a.css');</style>",
    "/socket": "<script>new WebSocket('ws://192.0.2.1/live')</script>",
    "/other-port": "<script>fetch('http://127.0.0.1:9/')</script>",
    "/error": "<script>console.error('broken')</script>",
    "/throws": "<script>throw new Error('thrown')</script>",
    "/missing": "<img src='/nowhere.png'>",
}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = PAGES.get(self.path)
        icon = "<link rel=icon href='data:,'>"
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(f"<!doctype html>{icon}{body or ''}".encode())

    def log_message(self, *_: Any) -> None:  # Any: as of the base class.
        """Say nothing."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium_running() as running:
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_clean_page_passes(browser: Browser, server: str) -> None:
    with browsing(browser, server) as (page, _):
        page.goto("/clean")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/image", "another host: http://192.0.2.1/pixel.png"),
        ("/font", "another host: https://fonts.example.org/a.css"),
        ("/socket", "another host: ws://192.0.2.1/live"),
        ("/other-port", "another host: http://127.0.0.1:9/"),
        ("/error", "console: broken"),
        ("/throws", "uncaught: "),
        ("/missing", "404: GET"),
    ],
)
def test_trouble_in_a_page_fails_its_test(
    browser: Browser, server: str, path: str, said: str
) -> None:
    def visit_it() -> None:
        with browsing(browser, server) as (page, watch):
            page.goto(path)
            until(page, lambda: bool(watch.problems), "the watch saw it")

    with pytest.raises(AssertionError, match=re.escape(said)):
        visit_it()


def test_a_status_that_a_test_expects_is_no_trouble(browser: Browser, server: str) -> None:
    with browsing(browser, server) as (page, watch):
        watch.statuses.add(404)
        answer = page.goto("/nowhere")

    assert answer is not None
    assert answer.status == 404

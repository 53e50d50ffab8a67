"""Debian's Chromium for tests, and a watch over all that a page does which a user would not see."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    WebSocket,
    sync_playwright,
)

WIDE = (1440, 900)
NARROW = (390, 844)
_INTERRUPTED = "net::ERR_NETWORK_CHANGED"
_CHROMIUM = "STEADFLOW_TEST_CHROMIUM"
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Whatever a page asks for, nothing leaves this machine.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


def chromium() -> str:
    """Return the path of Chromium, or skip loudly."""
    found = os.environ.get(_CHROMIUM) or shutil.which("chromium")
    if found is None or not Path(found).exists():
        pytest.skip(f"no Chromium: apt-get install chromium, or set {_CHROMIUM} to its path")
    return found


@contextmanager
def chromium_running() -> Iterator[Browser]:
    """A headless browser; its event loop blocks every other one of this thread meanwhile."""
    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watch:
    """What went wrong in a browser context that may talk to `own` only, `host:port`.

    statuses: those of answers that a test expects, beside success. interrupted: pages that
    Chromium cut off because a network device of this machine came or went, maybe that of somebody's
    container; `settled` loads them again.
    """

    own: str
    statuses: set[int] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    interrupted: set[Page] = field(default_factory=set)

    def follow(self, context: BrowserContext) -> None:
        """Note what happens in all pages of `context`, from now on."""
        context.on("console", self._console)
        context.on("weberror", lambda error: self.problems.append(f"uncaught: {error.error}"))
        context.on("request", lambda request: self._visit(request.url))
        context.on("requestfailed", self._failed)
        context.on("response", self._answered)
        context.on("page", lambda page: page.on("websocket", self._socket))

    def verify(self) -> None:
        """Raise AssertionError with all that was noted."""
        assert not self.problems, "\n".join(self.problems)

    def _visit(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob", "about") and parts.netloc != self.own:
            self.problems.append(f"request to another host: {url}")

    def _socket(self, socket: WebSocket) -> None:
        self._visit(socket.url)
        socket.on("socketerror", lambda error: self.problems.append(f"{socket.url}: {error}"))

    def _failed(self, request: Request) -> None:
        if request.failure == _INTERRUPTED:
            self.interrupted.add(request.frame.page)
        # A page that is left cancels what it was waiting for.
        elif request.failure != "net::ERR_ABORTED":
            self.problems.append(f"failed: {request.method} {request.url} {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.statuses:
            self.problems.append(f"{response.status}: {response.request.method} {response.url}")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type != "error" or _INTERRUPTED in message.text:
            return
        if any(f"status of {status} " in message.text for status in self.statuses):
            return
        self.problems.append(f"console: {message.text} ({message.location.get('url', '')})")


def until(page: Page, condition: Callable[[], bool], what: str, deadline_s: float = 240) -> None:
    """Return once `condition` holds; fail with `what` after a deadline that only a hang meets.

    The page's events are handled meanwhile.
    """
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s:.0f} s: {what}")
        page.wait_for_timeout(50)


def log_in(page: Page, password: str, there: str = "/") -> None:
    """Log in, and return when `there` is open."""
    page.goto(f"/login?{urlencode({'next': there})}")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"**{there}")


@contextmanager
def browsing(browser: Browser, url: str, **options: Any) -> Iterator[tuple[Page, Watch]]:
    """A fresh page for the server at `url`, and its watch; options: as of `new_context`.

    The test fails at the end with whatever the watch saw.
    """
    width, height = options.pop("size", WIDE)
    context = browser.new_context(
        base_url=url, viewport={"width": width, "height": height}, **options
    )
    # Only a hang meets it, on a machine that is busy with much else.
    context.set_default_timeout(120_000)
    watch = Watch(urlsplit(url).netloc)
    watch.follow(context)
    page = context.new_page()
    try:
        yield page, watch
    finally:
        context.close()
    watch.verify()

"""A running system with flows whose sums are known, and what its pages show."""

import json
import socket
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from playwright.sync_api import Browser, Page

from shared.plain_http import PLAIN_HTTP
from tests.faults.system import System, running, traffic
from tests.pages.browser import Watch, browsing, chromium_running, log_in, until
from tests.waiting import wait_until

JUNK_FROM = "127.0.9.9"
"""Sends what is no NetFlow."""
SUMS = ("flows", "bytes", "packets")
STILL = "refresh=0"
"""A page with this in its address asks no second time."""


@dataclass(frozen=True)
class FirstSight:
    """What the overview said before the first flow, and whether it changed without a reload."""

    text: str
    target: str
    snippets: Mapping[str, str]
    problems: list[str]
    same_page: bool


@dataclass
class Site:
    """A running system, a browser, and all that was sent: sums, and sums by exporter."""

    system: System
    browser: Browser
    urls: Mapping[str, str]
    sent: Counter[str] = field(default_factory=Counter)
    sent_by: dict[str, Counter[str]] = field(default_factory=dict)
    first: FirstSight | None = None
    password: str = ""

    def browse(self, **options: Any) -> AbstractContextManager[tuple[Page, Watch]]:
        """A fresh page on central-a; options as of `new_context`, and `size`."""
        return browsing(self.browser, self.urls["central-a"], **options)

    def log_in(self, page: Page, there: str = "/") -> None:
        """Log in on a page of central-a, and return when `there` is open."""
        log_in(page, self.password, there)

    def api(self, path: str, central: str = "central-a", **query: object) -> Any:
        """Return a central's JSON answer; query: a list gives its name several times."""
        url = f"{self.urls[central]}/api/v1{path}?{urlencode(query, doseq=True)}"
        answer = httpx.get(url, timeout=60, trust_env=False, verify=PLAIN_HTTP)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def send(self, *arguments: str) -> None:
        """Send generated flows to their end, and wait until both centrals counted them."""
        with traffic(self.system, *arguments) as process:
            output, _ = process.communicate(timeout=300)
        facts = json.loads(output)
        self.sent.update({name: facts[name] for name in SUMS})
        for address, sums in facts["exporters"].items():
            counts = self.sent_by.setdefault(address, Counter())
            counts.update({name: sums[name] for name in SUMS})
        for central in self.urls:
            wait_until(lambda c=central: self.is_counted(c), f"{central} counted what was sent")  # type: ignore[misc]  # the loop's central

    def is_counted(self, central: str) -> bool:
        """Whether `central` has what was sent."""
        totals = self.api("/totals", central)
        return all(totals[name] == self.sent[name] for name in SUMS)

    def send_junk(self, count: int) -> None:
        """Send datagrams that are no NetFlow."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((JUNK_FROM, 0))
            for _ in range(count):
                sock.sendto(b"\0\0 this is no flow record", ("127.0.0.1", self.system.udp_port))


@contextmanager
def site_running(home: Path) -> Iterator[Site]:
    """A site whose overview was looked at before, while and after the first flows came."""
    with chromium_running() as browser, running(home) as system:
        urls = {each["name"]: each["url"] for each in system.status()["centrals"]}
        site = Site(system, browser, urls)
        site.first = _look_at_the_first_flows(site)
        wait_until(lambda: site.api("/cluster")["primary"] is not None, "somebody is primary")
        made = system.run("user", "password", "--random", "--home", str(home))
        site.password = made.stdout.strip()
        yield site


def _look_at_the_first_flows(site: Site) -> FirstSight:
    site.send_junk(3)
    wait_until(lambda: site.api("/losses")["rows"] != [], "the junk was counted")
    with browsing(
        site.browser, site.urls["central-a"], permissions=["clipboard-read", "clipboard-write"]
    ) as (page, watch):
        page.goto("/?refresh=5")
        page.get_by_role("heading", name="No flows yet").wait_for()
        page.evaluate("window.mark = 'not loaded again'")
        text = page.locator(".sf-main").inner_text()
        target = page.locator(".sf-nothing-lead code").inner_text()
        snippets = {}
        for tab in page.get_by_role("tab").all():
            tab.click()
            page.get_by_role("button", name="Copy").click()
            page.get_by_role("button", name="Copied").wait_for()
            snippets[tab.inner_text()] = page.evaluate("navigator.clipboard.readText()")
        site.send("--rate", "500", "--duration", "4", "--exporters", "3", "--seed", "11")
        until(page, lambda: exact(page, "Flows") == site.sent["flows"], "the page shows the flows")
        same_page = page.evaluate("window.mark") == "not loaded again"
    return FirstSight(text, target, snippets, watch.problems, same_page)


def settled(page: Page, watch: Watch) -> None:
    """Return once every panel of the page has its numbers."""

    def has_numbers() -> bool:
        if page in watch.interrupted:
            watch.interrupted.discard(page)
            page.reload()
        return bool(page.evaluate(_SETTLED))

    until(page, has_numbers, "every panel has its numbers")


_SETTLED = """document.querySelector('.sf-stats') !== null &&
  !document.querySelector('[aria-busy=true], .sf-ghost')"""


def exact(page: Page, label: str) -> int | None:
    """Return the exact number behind a headline number; None before it is known."""
    found = page.locator(".sf-stats dl > div").filter(has=page.get_by_text(label, exact=True))
    if not found.count():
        return None
    digits = "".join(c for c in found.get_attribute("title") or "" if c.isdigit())
    return int(digits) if digits else None


def headline(page: Page, label: str) -> str:
    """Return a headline number as it is read."""
    found = page.locator(".sf-stats dl > div").filter(has=page.get_by_text(label, exact=True))
    return found.locator("dd").inner_text()


@dataclass(frozen=True)
class TableRow:
    """A row as it is read, cell by cell, and as it is told to who hovers over it."""

    cells: tuple[str, ...]
    titles: tuple[str, ...]

    @property
    def sums(self) -> tuple[str, ...]:
        """The titles with exact sums."""
        return tuple(title for title in self.titles if title.endswith(" flows"))


def table(page: Page, title: str) -> list[TableRow]:
    """Return the rows of the table called `title`."""
    rows = page.get_by_role("table", name=title, exact=True).evaluate(
        """table => [...table.tBodies[0].rows].map(row => [
          [...row.cells].map(cell => cell.innerText.replace(/\\s+/g, ' ').trim()),
          [...row.cells].map(cell => cell.title || '')])"""
    )
    return [TableRow(tuple(cells), tuple(titles)) for cells, titles in rows]

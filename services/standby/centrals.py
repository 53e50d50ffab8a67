"""The centrals that this machine knows, and which of them acts: the one it joined may be gone."""

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import httpx

from services.standby.config import StandbyConfig
from services.standby.given import Given, NotGiven
from services.standby.primary_client import PrimaryAway, PrimaryClient
from shared.register import Address
from shared.tls import TlsFiles, https_client_context
from shared.token import read_token

ASK_TIMEOUT_S: Final = 5.0
TIMEOUT_S: Final = 30.0
CONNECT_TIMEOUT_S: Final = 10.0
"""A machine that is gone answers nothing at all."""


class NobodyActs(PrimaryAway):
    """No central that can be reached acts, and neither can the one that was joined."""


class Central(NamedTuple):
    """One that answers."""

    url: str
    name: str = ""
    epoch: int = 0
    acts: bool = False
    primary_url: str = ""

    @property
    def host_port(self) -> tuple[str, int]:
        """Where that is."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


class Centrals:
    """Asks them over HTTPS with this node's certificate and the cluster's token."""

    def __init__(self, config: StandbyConfig, primary: Address) -> None:
        """Open nothing. primary: as it was given at the join."""
        self._config = config
        self._primary = primary
        self._named: tuple[str, ...] = ()

    @property
    def tls(self) -> TlsFiles:
        """This node's certificate."""
        return TlsFiles.in_directory(self._config.home / "tls")

    @property
    def joined(self) -> str:
        """The URL of the one that was joined."""
        return self._primary.url

    def urls(self) -> tuple[str, ...]:
        """Return where all are that are known: joined, told at the join, named since, ours."""
        try:
            told = Given.read(self._config.home).centrals
        except NotGiven:
            told = ()
        # What another machine calls http://127.0.0.1 is here somebody else.
        others = [url for url in (*told, *self._named) if url.startswith("https://")]
        return tuple(dict.fromkeys([self.joined, *others, self._config.central_url]))

    async def acting(self) -> Central:
        """Return the one that acts, else the one that was joined. Raises NobodyActs, TlsError."""
        return self._chosen(await self._all())

    async def to_copy(self) -> Central:
        """Return the same, but never the one on this machine."""
        others = [each for each in await self._all() if each.name != self._config.name]
        return self._chosen(others)

    def client(self, url: str) -> httpx.AsyncClient:
        """Return a client for one of them. Raises TlsError, TokenError."""
        return httpx.AsyncClient(
            base_url=url,
            verify=https_client_context(self.tls),
            headers={"Authorization": f"Bearer {self._token()}"},
            timeout=httpx.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            trust_env=False,
        )

    def blocking_client(self, url: str) -> PrimaryClient:
        """Return one whose methods block. Raises TlsError, TokenError."""
        return PrimaryClient(url, self.tls, self._token())

    def _token(self) -> str:
        return read_token(self._config.home / "token")

    def _chosen(self, found: Sequence[Central]) -> Central:
        # One that was replaced a moment ago may still believe that it acts.
        if acting := [each for each in found if each.acts]:
            return max(acting, key=lambda each: each.epoch)
        for each in found:
            if each.url == self.joined:
                return each
        raise NobodyActs(
            f"no central that acts is reached, of {', '.join(self.urls())}: start one of them"
        )

    async def _all(self) -> list[Central]:
        """Return those that answer, also those that they name."""
        found: list[Central] = []
        asked: set[str] = set()
        async with httpx.AsyncClient(
            verify=https_client_context(self.tls), timeout=ASK_TIMEOUT_S, trust_env=False
        ) as client:
            while urls := [url for url in self.urls() if url not in asked]:
                asked |= {*urls}
                answers = await asyncio.gather(*(_ask(client, url) for url in urls))
                found += [answer for answer in answers if answer is not None]
                named = [each.primary_url for each in found if each.primary_url]
                self._named = tuple(dict.fromkeys([*self._named, *named]))
        return found


async def _ask(client: httpx.AsyncClient, url: str) -> Central | None:
    """Ask one whether it acts; None when it does not answer."""
    try:
        answer = await client.get(f"{url}/primary")
        content = answer.json()
        primary_url = str(content.get("url") or "").rstrip("/")
        if not answer.is_success:
            return Central(url, primary_url=primary_url)
        return Central(url, str(content["node"]), int(content["epoch"]), True, primary_url)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError, AttributeError):
        return None

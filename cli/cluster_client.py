"""Asking registries and centrals about roles: the first that answers is as good as any."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from cli import running
from cli.owner import owner_headers
from shared.plain_http import PLAIN_HTTP

READ_TIMEOUT_S = 5.0
CHANGE_TIMEOUT_S = 40.0
"""A registry waits up to 20 s for the log, and a central that passes on waits for it."""
_CONNECT_TIMEOUT_S = 3.0
_NOT_HERE = (httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED)

Json = dict[str, Any]  # Any: JSON


class ClusterError(Exception):
    """Nobody answered, or the answer was no; the text is one sentence."""


def urls_of(home: Path) -> list[str]:
    """Return whom to ask about the system of `home`: its registries, then its centrals."""
    noted = running.read(home) if running.is_held(home) else None
    if noted is None:
        return []
    return [str(each["url"]) for each in (*noted["registries"], *noted["centrals"])]


class ClusterClient:
    """Asks `urls` in turn; each is a registry or a central."""

    def __init__(
        self, urls: Sequence[str], *, token: str = "", timeout_s: float = READ_TIMEOUT_S
    ) -> None:
        """Open nothing yet. token: for changes. timeout_s: of each one that is asked to read."""
        self._urls = [url.rstrip("/") for url in urls]
        self._token = token
        self._timeout_s = timeout_s
        # No proxy: they listen on loopback, or the user gave the URL.
        is_plain = all(url.startswith("http://") for url in self._urls)
        self._client = httpx.Client(trust_env=False, verify=PLAIN_HTTP if is_plain else True)

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self._client.close()

    def view(self) -> Json:
        """Return the cluster as `GET /api/v1/cluster` tells it. Raises ClusterError."""
        return self._read("/api/v1/cluster")

    def brokers(self) -> Json:
        """Return Kafka's machines, which only a central tells. Raises ClusterError."""
        return self._read("/api/v1/brokers")

    def history(self) -> Json:
        """Return every decision, which only a registry tells. Raises ClusterError."""
        return self._read("/history")

    def change(self, what: str, body: Mapping[str, str] | None = None) -> Json:
        """Ask for `what`: switchover, pause, `brokers/NAME/remove`. Raises ClusterError."""
        said = "nobody is there to be asked"
        for url in self._urls:
            # Each kind knows one of the first two; of brokers only a central knows.
            for path in (f"/{what}", f"/api/v1/cluster/{what}", f"/api/v1/{what}"):
                try:
                    answer = self._client.post(
                        url + path,
                        json=body,
                        headers=owner_headers(self._token),
                        timeout=httpx.Timeout(CHANGE_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S),
                    )
                except (httpx.ConnectError, httpx.ConnectTimeout, httpx.InvalidURL) as error:
                    said = f"{url} does not answer: {_why(error)}"
                    break
                except httpx.HTTPError as error:
                    raise ClusterError(
                        f"{url} gave no answer ({_why(error)}): `steadflow cluster` says whether "
                        "it happened"
                    ) from error
                if answer.status_code not in _NOT_HERE:
                    return _content(answer)
                said = f"{url} is neither a registry nor a central"
        raise ClusterError(said)

    def _read(self, path: str) -> Json:
        said = "nobody is there to be asked"
        for url in self._urls:
            try:
                answer = self._client.get(url + path, timeout=self._timeout_s)
                return _content(answer)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                said = f"{url} does not answer: {_why(error)}"
            except ClusterError as error:
                said = str(error)
        raise ClusterError(said)


def _content(answer: httpx.Response) -> Json:
    """Return the JSON of an answer; of one that says no, raise its sentence."""
    try:
        content = answer.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ClusterError(f"{answer.url} answers {answer.status_code}, but not with JSON")
    if answer.is_success:
        return content
    said = content.get("detail") or content.get("reason") or content.get("title")
    raise ClusterError(str(said or f"{answer.url} answers {answer.status_code}"))


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__

"""Asking one central to mend what differs, and how that went."""

import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from cli.owner import owner_headers

TIMEOUT_S = 30.0

Json = dict[str, Any]  # Any: JSON


class ProofError(Exception):
    """No answer, or one that says no; the text is one sentence."""


class NothingToMend(ProofError):
    """What is to be mended, if anything is, is not to be mended on this central."""


class ProofClient:
    """One central's `/api/v1/proof`."""

    def __init__(self, url: str, *, token: str, tls: ssl.SSLContext) -> None:
        """Open nothing yet. token: for the repair. tls: what an HTTPS `url` is verified by."""
        self._url = f"{url.rstrip('/')}/api/v1/proof"
        self._token = token
        # No proxy: it listens on loopback, or the cluster named it.
        self._client = httpx.Client(trust_env=False, timeout=TIMEOUT_S, verify=tls)

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

    def proof(self, *, since: int) -> Json:
        """Return how far it is proven and what is under repair. Raises ProofError.

        since: of `repairs`, all from this number on; an older central returns the newest 100.
        """
        return self._asked("GET", f"?since={since}")

    def repair(self, wanted: Mapping[str, str]) -> list[Json]:
        """Have it note repairs and return them. wanted: stream and minute, or nothing for all.

        Raises ProofError, NothingToMend.
        """
        rows: list[Json] = self._asked("POST", "/repair", dict(wanted))["rows"]
        return rows

    def _asked(self, method: str, path: str, body: Json | None = None) -> Json:
        headers = owner_headers(self._token)
        try:
            answer = self._client.request(method, self._url + path, json=body, headers=headers)
            content = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            why = str(error) or type(error).__name__
            raise ProofError(f"{self._url} does not answer: {why}") from error
        if not isinstance(content, dict):
            raise ProofError(f"{self._url} answers {answer.status_code}, but not with an object")
        if answer.is_success:
            return content
        said = str(content.get("detail") or f"it answers {answer.status_code}")
        if answer.status_code == httpx.codes.CONFLICT:
            raise NothingToMend(said)
        raise ProofError(said)

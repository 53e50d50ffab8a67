"""Asking the primary over HTTPS, as a node that has a certificate and the cluster's token."""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

import httpx

from services.standby.back import Back
from services.standby.preflight import Primary
from shared.problem_detail import detail_of
from shared.tls import TlsFiles, https_client_context

TIMEOUT_S = 30.0


class PrimaryAway(Exception):
    """The primary gave no answer of use; the text is one sentence."""


class PrimaryGone(PrimaryAway):
    """It answers, and does not have what was asked for."""


class Said(NamedTuple):
    """What the primary is. clock_offset_ms: our clock against its; half of the way at best."""

    primary: Primary
    clock_offset_ms: float


class PrimaryClient:
    """One connection pool. Every method blocks and raises PrimaryAway."""

    def __init__(self, url: str, files: TlsFiles, token: str) -> None:
        """Build without connecting. token: the cluster's bearer token. Raises TlsError."""
        self._url = url
        self._client = httpx.Client(
            verify=https_client_context(files),
            timeout=TIMEOUT_S,
            trust_env=False,
            headers={"Authorization": f"Bearer {token}"},
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def node(self) -> Said:
        """Return what the primary is, holds and gets."""
        sent_ms = time.time_ns() / 1e6
        content = self.ask("GET", "/api/v1/node")
        got_ms = time.time_ns() / 1e6
        try:
            primary = Primary.from_json(content)
        except (KeyError, TypeError, ValueError) as error:
            raise PrimaryAway(f"the primary's answer is not whole: {error}") from error
        return Said(primary, (sent_ms + got_ms) / 2 - primary.machine.now_ms)

    def sees(self, ports: list[int], host: str) -> Back:
        """Have the primary try our ports, and the name under which it will know this machine."""
        path = f"/api/v1/node/reach?{urlencode({'host': host})}"
        content = self.ask("POST", path, {"ports": ports})
        try:
            return Back.from_json(content)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise PrimaryAway(f"the primary's answer is not whole: {error}") from error

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:  # JSON
        """Return the JSON of an answer. Raises PrimaryGone for 404 and 410."""
        try:
            answer = self._client.request(method, f"{self._url}{path}", json=body)
        except httpx.HTTPError as error:
            said = str(error) or type(error).__name__
            raise PrimaryAway(f"the primary does not answer at {self._url}: {said}") from error
        if answer.is_success:
            try:
                return answer.json() if answer.content else {}
            except ValueError as error:
                raise PrimaryAway(f"the primary answers {path}, but not with JSON") from error
        kind = PrimaryGone if answer.status_code in (404, 410) else PrimaryAway
        said = detail_of(answer) or f"status {answer.status_code}"
        raise kind(f"the primary says to {path}: {said}")

"""Asking a central over HTTP: where it is, and its answer or one sentence."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from shared.token import TokenError, read_token

TOKEN_VARIABLE = "STEADFLOW_TOKEN"
TIMEOUT_S = 60.0
Parameters = dict[str, str | int | list[str]]


class AskError(Exception):
    """A question that got no answer; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class CentralAddress:
    """A central of this home and the URL of its API."""

    name: str
    url: str


def find_centrals(home: Path) -> list[CentralAddress]:
    """Return the centrals that `steadflow up` noted in `home`. Raises AskError."""
    file = home / "run.json"
    try:
        facts = json.loads(file.read_text())
        found = [CentralAddress(str(c["name"]), str(c["url"])) for c in facts["centrals"]]
    except FileNotFoundError as error:
        raise AskError(f"Nothing runs in {home}: start it with `steadflow up`.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AskError(f"{file} cannot be read: {error}.") from error
    if not found:
        raise AskError(f"No central runs in {home}.")
    return found


def choose_central(home: Path, name: str | None, url: str | None) -> CentralAddress:
    """Return the central that was asked for: by URL, by name, or the first one of `home`."""
    if url is not None:
        return CentralAddress(url, url.rstrip("/"))
    centrals = find_centrals(home)
    if name is None:
        return centrals[0]
    for central in centrals:
        if central.name == name:
            return central
    names = ", ".join(central.name for central in centrals)
    raise AskError(f"There is no central {name}; there are: {names}.")


def reading_token(home: Path, url: str | None) -> str:
    """Return what to read with, empty for nothing: the home's own token, or of the environment.

    By URL the home's is not sent: somebody else may answer there.
    """
    given = os.environ.get(TOKEN_VARIABLE, "")
    if given or url is not None:
        return given
    try:
        return read_token(home / "token")
    except TokenError:
        return ""


class Asker:
    """One HTTP connection pool; every method raises AskError with one sentence."""

    def __init__(self, timeout_s: float = TIMEOUT_S, *, token: str = "") -> None:
        """Open nothing yet. token: where reading needs one."""
        # No proxy: the API listens on loopback, or the user gave its URL.
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(timeout=timeout_s, trust_env=False, headers=headers)

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

    def get(
        self, central: CentralAddress, path: str, parameters: Parameters | None = None
    ) -> Any:  # JSON
        """Return the JSON of `GET /api/v1/{path}`."""
        try:
            answer = self._client.get(f"{central.url}/api/v1/{path}", params=parameters)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = str(error) or type(error).__name__
            raise AskError(f"{central.name} does not answer at {central.url}: {why}.") from error
        if answer.is_success:
            try:
                return answer.json()
            except ValueError as error:
                raise AskError(f"{central.url} answers, but not with JSON.") from error
        raise AskError(f"{central.name}: {_problem(answer)}")

    def lag_records(self, central: CentralAddress) -> int:
        """Return how many messages of the log the central has not applied yet."""
        return sum(int(row["lag_records"]) for row in self.get(central, "positions")["rows"])


def _problem(answer: httpx.Response) -> str:
    """Return the sentence of a problem+json answer (RFC 9457), or its status."""
    try:
        problem = answer.json()
        said = problem.get("detail") or problem.get("title")
    except (ValueError, AttributeError):
        said = None
    return str(said) if said else f"HTTP status {answer.status_code} at {answer.url.path}."

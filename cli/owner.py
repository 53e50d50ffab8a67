"""Asking the centrals of a home as its owner, who has the cluster's token."""

import getpass
from pathlib import Path
from typing import Any

import httpx

from cli.client import AskError, find_centrals
from cli.home import default_home
from cli.terminal import fail
from shared.on_behalf import BY, Behalf, write_behalf
from shared.token import TokenError, read_token

TIMEOUT_S = 30.0


def owner_headers(token: str) -> dict[str, str]:
    """Return the headers of a request; they say which user of this machine asks."""
    return {"Authorization": f"Bearer {token}", BY: write_behalf(Behalf("system", _user()))}


def ask_as_owner(
    home: Path,
    method: str,
    path: str,
    body: object = None,
    parameters: dict[str, str] | None = None,
) -> Any:  # JSON
    """Return the JSON of the first central that answers. Raises AskError, TokenError."""
    headers = owner_headers(read_token(home / "token"))
    said = AskError("no central answers")
    for central in find_centrals(home):
        try:
            # No proxy: the API listens on loopback.
            answer = httpx.request(
                method,
                f"{central.url}/api/v1/{path}",
                json=body,
                params=parameters,
                headers=headers,
                timeout=TIMEOUT_S,
                trust_env=False,
            )
            content = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            said = AskError(f"{central.name} gives no answer of use at {central.url}: {error}")
            continue
        if answer.is_success:
            return content
        said = AskError(f"{central.name}: {content.get('detail', answer.status_code)}")
        if not answer.is_server_error:
            break
    raise said


def answer_for_owner(
    home: Path | None,
    method: str,
    path: str,
    body: object = None,
    parameters: dict[str, str] | None = None,
) -> Any:  # JSON
    """Return the same for a command, which it ends with a sentence where there is no answer."""
    try:
        return ask_as_owner((home or default_home()).absolute(), method, path, body, parameters)
    except (AskError, TokenError) as error:
        fail(str(error))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "command_line"

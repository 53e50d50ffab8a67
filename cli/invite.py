"""`steadflow standby invite`: the one line to copy to another machine."""

import json
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from cli.client import AskError, choose_central
from cli.home import default_home
from cli.terminal import fail
from shared.token import TokenError, read_token

TIMEOUT_S = 30.0
HOUR_S = 3600


def invite(
    home: Annotated[Path | None, typer.Option(help="Folder given to `steadflow up`.")] = None,
    valid: Annotated[
        float, typer.Option(min=1 / 60, max=168, help="Hours for which the token may be used.")
    ] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")] = False,
) -> None:
    """Invite another machine to become a hot standby: print the line to run there, once."""
    folder = (home or default_home()).absolute()
    try:
        made = _make(folder, valid_s=round(valid * HOUR_S))
    except (AskError, TokenError) as error:
        fail(str(error))
    if as_json:
        typer.echo(json.dumps(made, indent=2))
        return
    typer.echo(
        "On the other machine, with the same release (a clone and `make setup`, or the image),\n"
        f"until {made['expires_at']}:\n"
    )
    typer.echo(made["line"])


def _make(home: Path, *, valid_s: int) -> dict[str, Any]:  # JSON
    central = choose_central(home, None, None)
    headers = {"Authorization": f"Bearer {read_token(home / 'token')}"}
    body = {"joins_as": "standby", "valid_s": valid_s}
    try:
        # No proxy: the API listens on loopback.
        answer = httpx.post(
            f"{central.url}/api/v1/invites",
            json=body,
            headers=headers,
            timeout=TIMEOUT_S,
            trust_env=False,
        )
        content: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise AskError(
            f"{central.name} gives no answer of use at {central.url}: {error}"
        ) from error
    if not answer.is_success:
        raise AskError(f"{central.name}: {content.get('detail', answer.status_code)}")
    return content

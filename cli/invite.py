"""`steadflow standby invite` and `collector invite`: the one line to copy to another machine."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.client import AskError
from cli.home import default_home
from cli.owner import ask_as_owner
from cli.terminal import fail
from shared.token import TokenError

HOUR_S = 3600

Home = Annotated[Path | None, typer.Option(help="Folder given to `steadflow up`.")]
Valid = Annotated[
    float, typer.Option(min=1 / 60, max=168, help="Hours for which the token may be used.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")]


def invite(home: Home = None, valid: Valid = 1.0, as_json: AsJson = False) -> None:
    """Invite another machine to become a hot standby: print the line to run there, once."""
    print_invite("standby", home, valid_h=valid, as_json=as_json)


def invite_collector(home: Home = None, valid: Valid = 1.0, as_json: AsJson = False) -> None:
    """Invite another machine to be a collector: print the line to run there, once."""
    print_invite("collector", home, valid_h=valid, as_json=as_json)


def print_invite(joins_as: str, home: Path | None, *, valid_h: float, as_json: bool) -> None:
    """Make an invite and print its line; ends the command with a sentence where there is none."""
    folder = (home or default_home()).absolute()
    try:
        made = _make(folder, joins_as, valid_s=round(valid_h * HOUR_S))
    except (AskError, TokenError) as error:
        fail(str(error))
    if as_json:
        typer.echo(json.dumps(made, indent=2))
        return
    typer.echo("The other machine needs the same release: a clone and `make setup`")
    if made["install"]:
        typer.echo("or, with Python 3.11 or newer and packages of others from its own mirror,\n")
    for line in made["install"]:
        typer.echo(f"  {line}")
    typer.echo(f"\nRun this line there, once, until {made['expires_at']}:\n")
    typer.echo(made["line"])


def _make(home: Path, joins_as: str, *, valid_s: int) -> dict[str, Any]:  # JSON
    made: dict[str, Any] = ask_as_owner(
        home, "POST", "invites", {"joins_as": joins_as, "valid_s": valid_s}
    )
    return made

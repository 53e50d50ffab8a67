"""`steadflow user`: who may log in on the pages, and their passwords."""

import json
import secrets
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.client import AskError
from cli.home import default_home
from cli.owner import answer_for_owner, ask_as_owner
from cli.terminal import fail
from shared.token import TokenError

ADMIN = "admin"
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without what looks alike."""
_GROUPS, _GROUP = 5, 4

user = typer.Typer(
    help="Say who may log in on the pages.", no_args_is_help=True, add_completion=False
)

Home = Annotated[Path | None, typer.Option(help="Folder given to `steadflow up`.")]
Name = Annotated[str, typer.Argument(help="Account: small letters, digits, `-` and `_`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


@user.command()
def password(
    name: Name = ADMIN,
    home: Home = None,
    random: Annotated[bool, typer.Option("--random", help="Make one up and print it.")] = False,
    from_stdin: Annotated[
        bool, typer.Option("--stdin", help="Read it from standard input, the first line.")
    ] = False,
) -> None:
    """Set the password of an account, of a new one too; ends the sessions it has."""
    if random:
        chosen = new_password()
    elif from_stdin:
        chosen = sys.stdin.readline().rstrip("\n")
    else:
        chosen = typer.prompt(
            f"New password of {name}", hide_input=True, confirmation_prompt=True, err=True
        )
    try:
        set_password((home or default_home()).absolute(), name, chosen)
    except (AskError, TokenError) as error:
        fail(str(error))
    if random:
        typer.echo(chosen)
    else:
        typer.echo(f"the password of {name} is set")


@user.command("list")
def list_users(home: Home = None, as_json: AsJson = False) -> None:
    """List the accounts."""
    answer = answer_for_owner(home, "GET", "accounts")
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
        return
    table = Table()
    for column in ("account", "password set", "by"):
        table.add_column(column, overflow="fold")
    for row in answer["rows"]:
        table.add_row(row["account"], local_time(row["changed_at"]), row["changed_by"])
    Console().print(table)


@user.command()
def remove(name: Annotated[str, typer.Argument(help="Account.")], home: Home = None) -> None:
    """Let an account log in no more; ends the sessions it has."""
    answer_for_owner(home, "DELETE", f"accounts/{name}")
    typer.echo(f"{name} cannot log in any more")


def set_password(home: Path, name: str, chosen: str) -> None:
    """Set a password. Raises AskError, TokenError."""
    ask_as_owner(home, "PUT", f"accounts/{name}", {"password": chosen})


def has_accounts(home: Path) -> bool:
    """Whether anybody could log in. Raises AskError, TokenError."""
    return bool(ask_as_owner(home, "GET", "accounts")["rows"])


def new_password() -> str:
    """Return a password made up at random, of about 98 bits."""
    groups = ["".join(secrets.choice(_LETTERS) for _ in range(_GROUP)) for _ in range(_GROUPS)]
    return "-".join(groups)


def local_time(instant: str) -> str:
    """Return an RFC 3339 instant as this machine's clock shows it."""
    return f"{datetime.fromisoformat(instant).astimezone():%Y-%m-%d %H:%M:%S}"

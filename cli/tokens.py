"""`steadflow token`: the cluster's own token, and API tokens for programs."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.home import default_home
from cli.owner import answer_for_owner
from cli.terminal import fail
from cli.user import local_time
from shared.token import TokenError, read_token

token = typer.Typer(
    help="Print the cluster's token; or make, list and revoke API tokens.",
    invoke_without_command=True,
    add_completion=False,
)

Home = Annotated[Path | None, typer.Option(help="Folder given to `steadflow up`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


@token.callback()
def print_token(context: typer.Context, home: Home = None) -> None:
    """Print the cluster's own token, of the commands and nodes; with a subcommand, see there."""
    if context.invoked_subcommand is not None:
        return
    try:
        typer.echo(read_token((home or default_home()).absolute() / "token"))
    except TokenError as error:
        fail(str(error))


@token.command()
def add(
    name: Annotated[str, typer.Argument(help="What it is for, as `prometheus`.")],
    change: Annotated[bool, typer.Option("--change", help="It may change things too.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make an API token and print it, once: to read, unless it may change things too."""
    body = {"name": name, "scope": "change" if change else "read"}
    made = answer_for_owner(home, "POST", "tokens", body)
    typer.echo(json.dumps(made, indent=2) if as_json else made["value"])


@token.command("list")
def list_tokens(home: Home = None, as_json: AsJson = False) -> None:
    """List the API tokens, without their secrets."""
    answer = answer_for_owner(home, "GET", "tokens")
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
        return
    table = Table()
    for column in ("token", "for", "may", "made", "by"):
        table.add_column(column, overflow="fold")
    for row in answer["rows"]:
        made = local_time(row["made_at"])
        table.add_row(row["token"], row["name"], row["scope"], made, row["made_by"])
    Console().print(table)


@token.command()
def revoke(
    number: Annotated[str, typer.Argument(metavar="TOKEN", help="As `token list` names it.")],
    home: Home = None,
) -> None:
    """Revoke an API token at once, on all centrals."""
    answer_for_owner(home, "DELETE", f"tokens/{number}")
    typer.echo(f"{number} is revoked")

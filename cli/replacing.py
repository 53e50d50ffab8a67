"""`join … --replace NAME`: this machine takes the place of one that is gone for ever."""

from typing import Annotated

import typer

from cli.terminal import fail

Replace = Annotated[
    str,
    typer.Option(
        help="Machine that is gone for ever, as `steadflow cluster` names it: its copies and "
        "vote move here, and it is forgotten."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask whether to replace.")]


def confirm(replaces: str, *, yes: bool, token: str) -> None:
    """Ask a person; ends the command where the answer is no.

    Only beside a token: what the command becomes without it, and is run again as, was asked.
    """
    if not replaces or not token or yes:
        return
    if token == "-":
        fail("--replace asks, and standard input holds the token: add --yes")
    typer.confirm(
        f"{replaces} loses its copy of the log, its vote and its place, for ever; go on?",
        abort=True,
    )

"""`--site NAME`: where a machine stands, so that no leader of the log is far away without need."""

import re
from typing import Annotated

import typer

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def checked(site: str) -> str:
    """Return it. Raises typer.BadParameter for what is no name."""
    if site and not _NAME.fullmatch(site):
        raise typer.BadParameter(f"{site[:64]!r} is no site: letters, digits and `._-`, at most 64")
    return site


Site = Annotated[
    str,
    typer.Option(
        callback=checked,
        help="Where this machine stands: what collectors publish is led at the primary's site "
        "where another machine there can.",
    ),
]

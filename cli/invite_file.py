"""The token of an invite on the machine that joins: in a file, and in no command line."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from cli.running import check_free
from cli.system import import_path, python_module
from shared.invite_token import parse_token
from shared.tls.writing import OWNER_ONLY, write_whole


def invite_file(home: Path) -> Path:
    """Return where the token stands until it was used."""
    return home / "invite"


def keep_token(home: Path, given: str) -> None:
    """Put the token into its file; `-` reads it from standard input.

    Raises InviteTokenError, HomeError where somebody runs there who would not use it, or TlsError
    where it cannot be written.
    """
    check_free(home)
    token = parse_token(sys.stdin.read() if given == "-" else given)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(invite_file(home), f"{token}\n".encode(), mode=OWNER_ONLY)


def go_on_without_token() -> NoReturn:
    """Become the same command without the token, which everybody could read as long as it runs."""
    command = python_module("cli", *without_token(sys.argv[1:]))
    os.execve(sys.executable, command, os.environ | import_path())


def without_token(arguments: Sequence[str]) -> list[str]:
    """Leave the token out of a command line."""
    kept: list[str] = []
    for argument in arguments:
        if kept and kept[-1] == "--token":
            kept.pop()
        elif not argument.startswith("--token="):
            kept.append(argument)
    return kept

"""The first start: an administrator's password, made up and shown once, to a person alone."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cli.client import AskError
from cli.user import ADMIN, has_accounts, new_password, set_password
from shared.token import TokenError

PATIENCE_S = 20.0
"""The first primary is chosen a few seconds after the first start."""
_AGAIN_S = 1.0
_FROM_FILE = "STEADFLOW_CENTRAL_ADMIN_PASSWORD_FILE"

HINT = "nobody can log in on the pages yet: `steadflow user password` sets a password"


def say_first_password(home: Path, say: Callable[[str], None]) -> None:
    """Where nobody can log in yet, make a password and say it; on no terminal, say how to.

    What is printed to something else than a terminal is kept by somebody.
    """
    try:
        if os.environ.get(_FROM_FILE) or has_accounts(home):
            return
        if not sys.stderr.isatty():
            say(f"{HINT} (--home {home})")
            return
        chosen = new_password()
        _set(home, chosen)
    except (AskError, TokenError) as error:
        say(f"{HINT}; it could not be done now: {error}")
        return
    say(f"log in on the pages as {ADMIN}, password {chosen} (shown only now)")


def _set(home: Path, chosen: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            set_password(home, ADMIN, chosen)
            return
        except AskError:
            if time.monotonic() > deadline_s:
                raise
        time.sleep(_AGAIN_S)

"""The first account, from a file, where nobody can log in yet."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from services.central.login.logins import Logins
from services.central.login.passwords import password_problem
from services.central.roles.role import NotPrimary
from services.central.settings import SettingsAway
from shared.config import ConfigError
from shared.settings_events import Account, SettingsEvent
from shared.token import TokenError, read_token

log = logging.getLogger(__name__)

FIRST: Final = "admin"
LOOK_S: Final = 1.0


def first_password(file: Path | None) -> str | None:
    """Return the password in the file of the setting; None without one. Raises ConfigError."""
    if file is None:
        return None
    try:
        password = read_token(file)
    except TokenError as error:
        raise ConfigError(f"setting admin_password_file: {error}") from error
    if problem := password_problem(password, FIRST):
        raise ConfigError(f"setting admin_password_file: {problem}")
    return password


async def make_first_account(
    password: str,
    logins: Logins,
    change: Callable[[SettingsEvent], Awaitable[None]],
    *,
    may_make: Callable[[], bool],
    now_ms: Callable[[], int],
) -> None:
    """Make the account once `may_make`; returns when there is one.

    may_make: whether all settings are read here, and this is the primary.
    """
    while not logins.has_accounts:
        if may_make():
            made = Account(FIRST, await logins.hashed(password), now_ms(), "admin_password_file")
            try:
                await change(made)
            except (SettingsAway, NotPrimary) as error:
                log.warning("the first account is not made yet: %s", error)
        await asyncio.sleep(LOOK_S)

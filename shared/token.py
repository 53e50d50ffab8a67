"""The bearer token that guards every change: made once, kept in a file only its owner reads."""

import hmac
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

_BYTES = 32


class TokenError(Exception):
    """The token file is missing, empty or open to others."""


def make_token(path: Path) -> str:
    """Return the token in `path`, made now (mode 600) when there is none.

    Raises TokenError when the file is there but is no safe token.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return read_token(path)
    token = secrets.token_urlsafe(_BYTES)
    with os.fdopen(descriptor, "w") as file:
        file.write(token + "\n")
        file.flush()
        os.fsync(file.fileno())
    return token


def read_token(path: Path) -> str:
    """Return the token in `path`.

    Raises TokenError when it cannot be read, is empty, or others than its owner may read it.
    """
    try:
        if path.stat().st_mode & 0o077:
            raise TokenError(f"token file {path} must be readable by its owner only (chmod 600)")
        token = path.read_text().strip()
    except OSError as error:
        raise TokenError(f"token file {path} cannot be read: {error.strerror}") from error
    if not token:
        raise TokenError(f"token file {path} is empty")
    return token


def same_token(expected: str, given: str) -> bool:
    """Compare in a time that does not tell how many characters agree."""
    return hmac.compare_digest(expected.encode(), given.encode())


def main(arguments: Sequence[str]) -> int:
    """Be `python -m shared.token FILE...`: make a secret where there is none; the exit code."""
    if not arguments:
        sys.stderr.write("usage: python -m shared.token FILE...\n")
        return 2
    try:
        for argument in arguments:
            make_token(Path(argument))
    except (TokenError, OSError) as error:
        sys.stderr.write(f"token: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

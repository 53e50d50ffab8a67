"""Passwords: argon2id hashes of them, and which are too easy to guess."""

from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

LENGTH_MIN: Final = 12
LENGTH_MAX: Final = 256
_HASHER: Final = PasswordHasher()
"""The library's own parameters, those of RFC 9106 for little memory: 64 MiB, three passes."""


def hash_password(password: str) -> str:
    """Return the hash to keep; takes about a tenth of a second and 64 MiB."""
    return _HASHER.hash(password)


def is_password_of(password: str, password_hash: str) -> bool:
    """Whether `password` is the one; takes as long for a wrong one."""
    try:
        return _HASHER.verify(password_hash, password)
    except (Argon2Error, InvalidHashError):
        return False


def password_problem(password: str, account: str) -> str:
    """Return why a new password is refused, in a sentence; empty when it is not."""
    if len(password) < LENGTH_MIN:
        return f"a password has at least {LENGTH_MIN} characters"
    if len(password) > LENGTH_MAX:
        return f"a password has at most {LENGTH_MAX} characters"
    if len(set(password)) < 5 or account in password.lower():
        return "this password is too easy to guess"
    return ""

"""Sessions: what a browser keeps in its cookie, and how it is believed; pure.

A session is signed, not stored, with a key that all centrals of a cluster have: whoever logged in
at one of them is known to the others, also after a failover. It carries a stamp of the password's
hash, so a new password ends all sessions of the one before.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final

SESSION_S: Final = 12 * 3600
_EARLY_S: Final = 300
"""How far the clock of the central that made it may be ahead."""
_FORM: Final = re.compile(
    r"1\.([a-z0-9_-]{1,64})\.([0-9]{1,12})\.([0-9a-f]{16})\.([0-9a-f]{16})\.([0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True)
class Session:
    """Who logged in, when (Unix time, s), which of the logins it is, with which password."""

    account: str
    began_s: int
    id: str
    stamp: str


def session_key(token: str) -> bytes:
    """Return the key of a cluster's sessions. token: its bearer token."""
    return hmac.digest(token.encode(), b"steadflow session 1", "sha256")


def stamp_of(password_hash: str) -> str:
    """Return what of a password's hash stands in a session."""
    return hashlib.sha256(password_hash.encode()).hexdigest()[:16]


def write_session(session: Session, key: bytes) -> str:
    """Return the cookie's value."""
    text = f"1.{session.account}.{session.began_s}.{session.id}.{session.stamp}"
    return f"{text}.{_mac(text, key)}"


def read_session(text: str, key: bytes, now_s: float) -> Session | None:
    """Return the session in a cookie; None for one that is not ours or is over."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    if not hmac.compare_digest(_mac(text.rpartition(".")[0], key), found[5]):
        return None
    session = Session(found[1], int(found[2]), found[3], found[4])
    if not -_EARLY_S <= now_s - session.began_s < SESSION_S:
        return None
    return session


def _mac(text: str, key: bytes) -> str:
    return hmac.new(key, text.encode(), "sha256").hexdigest()

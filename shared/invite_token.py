"""The token of an invite: what somebody copies to another machine; pure.

`sf1.INVITE.SECRET.FINGERPRINT`: which invite, the secret that proves it, and the fingerprint of the
authority whose certificates the invited machine will trust, so that nothing is installed by hand.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final

_FORM: Final = re.compile(r"sf1\.([0-9a-f]{16})\.([0-9a-f]{48})\.([0-9a-f]{64})")


class InviteTokenError(ValueError):
    """What was given is no token of an invite; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class InviteToken:
    """invite: id, 16 hex digits. secret: 48 hex digits. fingerprint: SHA-256 of the authority."""

    invite: str
    secret: str
    fingerprint: str

    def __str__(self) -> str:
        """Return the text to copy."""
        return f"sf1.{self.invite}.{self.secret}.{self.fingerprint}"

    def __repr__(self) -> str:
        """Return it without the secret, for logs."""
        return f"InviteToken({self.invite})"


def parse_token(text: str) -> InviteToken:
    """Return the token in `text`. Raises InviteTokenError, which repeats no part of it."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise InviteTokenError(
            "the token is not whole: copy the line again, it begins with `sf1.` and has no spaces"
        )
    return InviteToken(*found.groups())


def hash_secret(secret: str) -> str:
    """Return what is kept of a secret: it is random, so one round is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_secret_of(secret: str, secret_hash: str) -> bool:
    """Compare in a time that does not tell how much agrees."""
    return hmac.compare_digest(hash_secret(secret), secret_hash)

"""Which invite may be used, and what is said of the others; pure."""

from collections.abc import Iterable
from dataclasses import replace
from enum import StrEnum

from shared.invite_token import is_secret_of
from shared.settings_events import Invite

VALID_S_MAX = 7 * 24 * 3600
KEPT_MS = 30 * 24 * 3600 * 1000
"""An invite is listed for so long after it was over."""


class JoinsAs(StrEnum):
    """What a machine may be invited to be."""

    STANDBY = "standby"
    COLLECTOR = "collector"
    WITNESS = "witness"


def command_of(joins_as: JoinsAs) -> str:
    """Return the command whose `invite` and `join` are of that role."""
    return f"steadflow {joins_as}"


class InviteRefused(Exception):
    """The token admits nobody; the text is one sentence that tells no secret."""


def redeemed(
    invites: Iterable[Invite],
    *,
    invite: str,
    secret: str,
    joins_as: JoinsAs,
    node: str,
    key: str,
    now_ms: int,
) -> Invite:
    """Return the invite as used by `node` to join as `joins_as`, at `now_ms`.

    Raises InviteRefused; nothing is used up then.

    key: hash of the node's public key. Who holds that key may use the invite again: the first
    answer may not have arrived.
    """
    found = next((each for each in invites if each.invite == invite), None)
    if found is None or not is_secret_of(secret, found.secret_hash):
        # One sentence for both: which ids exist is nobody's business.
        raise InviteRefused(
            f"this token is not known here: make a new one with `{command_of(joins_as)} invite`"
        )
    if found.joins_as != joins_as:
        raise InviteRefused(
            f"this token invites a {found.joins_as}, not a {joins_as}: "
            f"make another with `{command_of(joins_as)} invite`"
        )
    if found.used_by and (found.used_by, found.used_key) != (node, key):
        raise InviteRefused("this token was used already: each admits one machine")
    if now_ms >= found.expires_at_ms:
        raise InviteRefused("this token has expired: make a new one")
    if found.used_by:
        return found
    return replace(found, used_by=node, used_key=key, used_at_ms=now_ms)


def standing_of(invite: Invite, now_ms: int) -> str:
    """Return how it stands with an invite, in a word."""
    if invite.used_by:
        return "used"
    return "expired" if now_ms >= invite.expires_at_ms else "open"


def to_forget(invites: Iterable[Invite], now_ms: int) -> list[Invite]:
    """Return the invites that were over long ago."""
    return [each for each in invites if now_ms - max(each.expires_at_ms, each.used_at_ms) > KEPT_MS]

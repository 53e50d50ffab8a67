"""Whose a home is: one command must not take what another one keeps there."""

import json
from enum import Enum
from pathlib import Path

from cli.running import HomeError


class Owner(Enum):
    """What keeps its secrets and its log in a home. The value: as a person is told."""

    NOBODY = "nobody"
    SYSTEM = "the system of `steadflow up`"
    STANDBY = "a machine that joined as a standby"
    GUEST = "a collector or a witness that joined"


def owner_of(home: Path) -> Owner:
    """Return whose `home` is. A join that was not admitted yet keeps nothing that would be lost."""
    given, key = home / "given.json", home / "tls" / "ca.key"
    if not given.exists():
        is_system = key.exists() or (home / "token").exists()
        return Owner.SYSTEM if is_system else Owner.NOBODY
    # A standby that was killed while it was admitted has no key yet.
    return Owner.STANDBY if key.exists() or _names_centrals(given) else Owner.GUEST


def check_owner(home: Path, *expected: Owner) -> None:
    """Raise HomeError unless `home` is nobody's, or of one of `expected`. Writes nothing."""
    try:
        owner = owner_of(home)
    except OSError as error:
        raise HomeError(f"--home {home} cannot be read: {error.strerror}") from error
    if owner is not Owner.NOBODY and owner not in expected:
        raise HomeError(f"{home} belongs to {owner.value}: choose another folder with --home")


def _names_centrals(given: Path) -> bool:
    try:
        return "centrals" in json.loads(given.read_text())
    except (OSError, ValueError, TypeError):
        return False

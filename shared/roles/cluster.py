"""The record on `ha.roles`: who is primary, for everybody who does not read `ha.log`; pure.

The primary writes it in its first fenced transaction and at each change, so it never goes back.
Readers keep the one of the highest `order` all the same.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from shared.roles.records import NAME_CHARACTERS, RecordError

KEY: Final = b"cluster"
_NODES_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRoles:
    """generation, epoch: order of two records. primary, standbys: names of nodes.

    incarnation: of the primary. endpoints: URL of each node's API. brokers: `host:port` with commas
    between. since_ms: when its claim was appended, UTC of the log. reason: why it took over.
    took_s: seconds for which nobody acted before; None at the first start.
    """

    generation: int
    epoch: int
    primary: str
    incarnation: str = ""
    standbys: tuple[str, ...] = ()
    endpoints: Mapping[str, str] = field(default_factory=dict)
    brokers: str = ""
    since_ms: int = 0
    reason: str = ""
    took_s: float | None = None

    @property
    def order(self) -> tuple[int, int]:
        """The later of two records has the higher one."""
        return self.generation, self.epoch


def encode_roles(roles: ClusterRoles) -> bytes:
    """Return the value of the message."""
    return json.dumps(asdict(roles), separators=(",", ":"), allow_nan=False).encode()


def decode_roles(value: bytes | None) -> ClusterRoles:
    """Read the value of a message; unknown fields are left out. Raises RecordError."""
    try:
        content = json.loads(value or b"")
        known = {each.name for each in fields(ClusterRoles)}
        roles = ClusterRoles(
            **{name: one for name, one in content.items() if name in known}
            | {"standbys": tuple(content.get("standbys", ()))}
        )
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise RecordError(f"no record of ha.roles: {error!r}"[:200]) from error
    if problem := _problem(roles):
        raise RecordError(f"ha.roles: {problem}")
    return roles


def _problem(roles: ClusterRoles) -> str:
    for name in ("generation", "epoch", "since_ms"):
        value = getattr(roles, name)
        if type(value) is not int or not -1 <= value < 1 << 63:
            return f"{name} {value!r}"
    if roles.took_s is not None and type(roles.took_s) not in (int, float):
        return f"took_s {roles.took_s!r}"
    if not isinstance(roles.endpoints, dict) or len(roles.endpoints) > _NODES_MAX:
        return "endpoints"
    texts: list[Any] = [  # Any: what JSON held.
        roles.primary, roles.incarnation, roles.reason, *roles.standbys, *roles.endpoints,
        *roles.endpoints.values(),
    ]  # fmt: skip
    for text in texts:
        if not isinstance(text, str) or not text.isprintable() or len(text) > NAME_CHARACTERS:
            return f"name {str(text)[:40]!r}"
    if not str(roles.brokers).isprintable():
        return "brokers"
    return "" if roles.primary else "no primary"


def newer(known: ClusterRoles | None, found: ClusterRoles) -> ClusterRoles:
    """Return which of two records holds; one of the same epoch replaces the one before."""
    return found if known is None or found.order >= known.order else known

"""Records on topic `audit`: who changed what, from where, and what came of it; pure.

Schemas only grow: fields are added with a default, never changed or used for something else.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

VERSION: Final = 1
TEXT_MAX: Final = 400
FACTS: Final = (
    "raw_days", "minute_days", "hour_days", "name", "speed_bps", "to", "joins_as", "valid_s",
    "scope", "made_for", "stream", "minute", "candidate", "replaces",
    "node",
)  # fmt: skip
"""What of a request's body is noted. All else is left out: a secret must not get in by a name that
nobody thought of."""


class AuditError(ValueError):
    """A record on `audit` that this release cannot read."""


@dataclass(frozen=True, slots=True)
class Audited:
    """One change, or one login.

    at_ms: UTC, by the clock of `node`, which answered. by: kind and name of who asked. what: in
    words. request: method and path. status: of the HTTP answer. facts: of the request's body.
    count: of failed logins since the entry before. session: of a login or logout, its id.
    """

    at_ms: int
    node: str
    by: str
    address: str
    what: str
    request: str = ""
    status: int = 200
    facts: str = ""
    count: int = 1
    session: str = ""


def encode_audited(audited: Audited) -> bytes:
    """Return the value of the record; texts are cut."""
    content = {
        name: value[:TEXT_MAX] if isinstance(value, str) else value
        for name, value in asdict(audited).items()
    }
    return json.dumps({"v": VERSION, **content}, separators=(",", ":")).encode()


def decode_audited(value: bytes | None) -> Audited:
    """Return what was noted. Raises AuditError."""
    try:
        content = json.loads(value or b"")
        if content["v"] != VERSION:
            raise AuditError(f"version {content['v']} is not {VERSION}")
        known: dict[str, Any] = {}  # Any: JSON, checked here.
        for each in fields(Audited):
            if each.name in content:
                found = content[each.name]
                if type(found) is not each.type:
                    raise AuditError(f"{each.name} is no {each.type}")
                known[each.name] = found
        return Audited(**known)
    except AuditError:
        raise
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise AuditError(f"not a record: {error!r}"[:TEXT_MAX]) from error


def facts_of(body: bytes) -> str:
    """Return what is noted of a request's body: `name=core-1 speed_bps=10`."""
    try:
        content = json.loads(body) if body else None
    except (ValueError, RecursionError):
        return ""
    if not isinstance(content, Mapping):
        return ""
    return " ".join(
        f"{name}={plain_text(str(content[name]))}" for name in FACTS if _is_plain(content.get(name))
    )[:TEXT_MAX]


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float) and value != ""


def plain_text(text: str, *, length: int = 100) -> str:
    """Return it without what is not printed, cut."""
    return "".join(each if each.isprintable() else "?" for each in text)[:length]

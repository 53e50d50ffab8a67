"""Events on topic `settings`: every change of a setting, by its natural key.

The last event of a key is the setting; a tombstone (no value) takes it back to its default. Event
schemas only grow: fields are added with a default, never changed or used for something else.
"""

import json
import re
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar

from shared.addresses import format_address, pack_address

VERSION: Final = 1


class SettingsEventError(ValueError):
    """A record on `settings` that this release cannot read."""


@dataclass(frozen=True, slots=True)
class RetentionSet:
    """How long each level is kept, in whole days."""

    raw_days: int
    minute_days: int
    hour_days: int


@dataclass(frozen=True, slots=True)
class ExporterNamed:
    """An exporter (16 address bytes) got a name."""

    exporter: bytes
    name: str


@dataclass(frozen=True, slots=True)
class InterfaceNamed:
    """An interface got a name. speed_bps: bits per second, 0 unknown."""

    exporter: bytes
    if_index: int
    name: str
    speed_bps: int = 0


@dataclass(frozen=True, slots=True)
class Invite:
    """A machine may join as `joins_as`, once, until `expires_at_ms` (UTC).

    invite: its id. secret_hash: of the secret that the invited one shows, in hex. used_by: node
    that joined with it, used_key: hash of its public key, in hex; both empty until then.
    used_at_ms: when, 0 until then.
    """

    invite: str
    joins_as: str
    secret_hash: str
    expires_at_ms: int
    made_by: str = ""
    used_by: str = ""
    used_key: str = ""
    used_at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Account:
    """Who may log in. password_hash: argon2id, as a PHC string. changed_by: who set it."""

    account: str
    password_hash: str
    changed_at_ms: int
    changed_by: str = ""


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token of the API. token: its id. secret_hash: in hex. scope: `read` or `change`."""

    token: str
    name: str
    secret_hash: str
    scope: str
    made_at_ms: int
    made_by: str = ""


@dataclass(frozen=True, slots=True)
class MachineLeaves:
    """The broker of `machine` goes, until it is forgotten: copies and vote are taken from it.

    replaced_by: the machine that takes its place, before which nothing is taken; empty for none.
    had_central: the central of that name was forgotten with it; heard again, the machine stays.
    """

    machine: str
    asked_at_ms: int
    replaced_by: str = ""
    had_central: bool = False


@dataclass(frozen=True, slots=True)
class SettingRemoved:
    """The setting of `key` is the default again."""

    key: str


SettingSet = (
    RetentionSet | ExporterNamed | InterfaceNamed | Invite | Account | ApiToken | MachineLeaves
)
SettingsEvent = SettingSet | SettingRemoved

RETENTION_KEY: Final = "retention"
RAW_DAYS_MIN: Final = 4
"""The log keeps 72 hours: rows that may be read again from it must not be dropped before."""
DAYS_MAX: Final = 36_500
NAME_CHARACTERS: Final = 255
_KINDS: Final[dict[str, type[SettingSet]]] = {
    "retention": RetentionSet,
    "exporter": ExporterNamed,
    "interface": InterfaceNamed,
    "invite": Invite,
    "account": Account,
    "token": ApiToken,
    "leaving": MachineLeaves,
}
_HEX: Final = re.compile("[0-9a-f]{8,64}")
_ACCOUNT: Final = re.compile("[a-z0-9_-]{1,64}")
_HASH: Final = re.compile(r"\$argon2id\$[!-~]{1,245}")
_NAMES = {kind: name for name, kind in _KINDS.items()}


def exporter_key(exporter: bytes) -> str:
    """Return the key of an exporter's settings: `exporter/192.0.2.1`."""
    return f"exporter/{format_address(exporter)}"


def interface_key(exporter: bytes, if_index: int) -> str:
    """Return the key of an interface's settings: `interface/192.0.2.1/3`."""
    return f"interface/{format_address(exporter)}/{if_index}"


def invite_key(invite: str) -> str:
    """Return the key of an invite: `invite/0123456789abcdef`."""
    return f"invite/{invite}"


def account_key(account: str) -> str:
    """Return the key of an account: `account/admin`."""
    return f"account/{account}"


def token_key(token: str) -> str:
    """Return the key of an API token: `token/0123456789abcdef`."""
    return f"token/{token}"


def leaving_key(machine: str) -> str:
    """Return the key of a machine that goes: `leaving/witness-1`."""
    return f"leaving/{machine}"


def key_of(event: SettingsEvent) -> str:
    """Return the natural key of `event`."""
    match event:
        case RetentionSet():
            return RETENTION_KEY
        case ExporterNamed(exporter):
            return exporter_key(exporter)
        case InterfaceNamed(exporter, if_index):
            return interface_key(exporter, if_index)
        case Invite(invite):
            return invite_key(invite)
        case Account(account):
            return account_key(account)
        case ApiToken(token):
            return token_key(token)
        case MachineLeaves(machine):
            return leaving_key(machine)
        case SettingRemoved(key):
            return key


def encode(event: SettingsEvent) -> tuple[bytes, bytes | None]:
    """Return key and value of the Kafka record; the value of a removal is a tombstone."""
    key = key_of(event).encode()
    if isinstance(event, SettingRemoved):
        return key, None
    fields = {
        name: format_address(value) if isinstance(value, bytes) else value
        for name, value in asdict(event).items()
    }
    text = {"v": VERSION, "kind": _NAMES[type(event)], **fields}
    return key, json.dumps(text, separators=(",", ":"), ensure_ascii=False).encode()


def decode(key: bytes | None, value: bytes | None) -> SettingsEvent:
    """Return the event of a record; an empty value is a tombstone. Raises SettingsEventError."""
    try:
        name = (key or b"").decode()
        if not name.isprintable() or not name:
            raise SettingsEventError("a record without a key, or with none of text")
        if not value:
            return SettingRemoved(name)
        fields = json.loads(value)
        version, kind = fields["v"], fields["kind"]
        if version != VERSION:
            raise SettingsEventError(f"{name}: version {version} is not {VERSION}")
        event = _read(_KINDS[kind], fields)
    except SettingsEventError:
        raise
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise SettingsEventError(f"not an event: {error!r}") from error
    if key_of(event) != name:
        raise SettingsEventError(f"{name}: the value is of {key_of(event)}")
    if problem := _out_of_bounds(event):
        raise SettingsEventError(f"{name}: {problem}")
    return event


def _out_of_bounds(event: SettingSet) -> str:
    """Return what no reader may take over, or nothing.

    Wider than what the API takes, so that a later release may allow more; but no day of data may
    go for a slip, and no database refuse what every central will read again.
    """
    match event:
        case RetentionSet(raw_days, minute_days, hour_days):
            if not RAW_DAYS_MIN <= raw_days <= minute_days <= hour_days <= DAYS_MAX:
                return f"retention of {raw_days}, {minute_days}, {hour_days} days"
        case ExporterNamed(_, name):
            return _no_name(name)
        case InterfaceNamed(_, if_index, name, speed_bps):
            if not 0 <= if_index < 1 << 32 or not 0 <= speed_bps < 1 << 63:
                return f"interface {if_index} of {speed_bps} bit/s"
            return _no_name(name)
        case Invite():
            return _no_invite(event)
        case Account():
            return _no_account(event)
        case ApiToken():
            return _no_token(event)
        case MachineLeaves(machine, asked_at_ms, replaced_by):
            if not 0 <= asked_at_ms < 1 << 63:
                return f"time at which {machine[:40]!r} was to leave"
            return _no_name(machine) or _no_name(replaced_by or "-")
    return ""


def _no_invite(invite: Invite) -> str:
    if not _HEX.fullmatch(invite.invite) or not _HEX.fullmatch(invite.secret_hash):
        return f"invite {invite.invite[:40]!r}"
    if not 0 <= invite.expires_at_ms < 1 << 63 or not 0 <= invite.used_at_ms < 1 << 63:
        return f"times of invite {invite.invite}"
    if invite.used_key and not _HEX.fullmatch(invite.used_key):
        return f"key of invite {invite.invite}"
    names = (invite.joins_as, invite.made_by or "-", invite.used_by or "-")
    return next(filter(None, map(_no_name, names)), "")


def _no_account(account: Account) -> str:
    # The hash itself is nobody's to read in a log.
    if not _ACCOUNT.fullmatch(account.account) or not _HASH.fullmatch(account.password_hash):
        return f"account {account.account[:40]!r}"
    if not 0 <= account.changed_at_ms < 1 << 63:
        return f"time of account {account.account}"
    return _no_name(account.changed_by or "-")


def _no_token(token: ApiToken) -> str:
    if not _HEX.fullmatch(token.token) or not _HEX.fullmatch(token.secret_hash):
        return f"token {token.token[:40]!r}"
    if not 0 <= token.made_at_ms < 1 << 63:
        return f"time of token {token.token}"
    names = (token.name, token.scope, token.made_by or "-")
    return next(filter(None, map(_no_name, names)), "")


def _no_name(name: str) -> str:
    is_text = not any(ord(each) < 0x20 or 0xD800 <= ord(each) < 0xE000 for each in name)
    return "" if is_text and 0 < len(name) <= NAME_CHARACTERS else f"name {name[:40]!r}"


Set = TypeVar("Set", bound=SettingSet)


def _read(kind: type[Set], fields: dict[str, Any]) -> Set:  # Any: JSON, checked here.
    values: dict[str, Any] = {}
    for name, annotation in kind.__annotations__.items():
        if name not in fields:
            continue
        value = fields[name]
        wanted = {bytes: str, str: str, bool: bool}.get(annotation, int)
        if type(value) is not wanted:
            raise SettingsEventError(f"{name} is no {wanted.__name__}")
        values[name] = pack_address(str(value)) if annotation is bytes else value
    return kind(**values)

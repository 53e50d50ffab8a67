"""What makes a machine a collector of a system: asked for once, then kept in its home."""

import json
import socket
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from cli.certificate import certificate_sentence
from cli.home_owner import Owner, owner_of
from cli.invite_file import invite_file
from shared.invite_token import InviteTokenError, parse_token
from shared.register import (
    Address,
    RegisterError,
    forget_key,
    keep,
    key_and_request,
    register,
)
from shared.tls import TlsError, TlsFiles, new_key_and_request
from shared.tls.renewal import ends_at, is_due, request_again
from shared.tls.writing import OWNER_ONLY, write_whole

ROLE = "collector"


class JoinRefused(Exception):
    """This machine does not join as it is; the text is one sentence."""


class Admission(NamedTuple):
    """What was given. brokers: reached by TLS, `host:port` with commas between.

    kafka: what a broker here needs to join; None for a collector.
    """

    name: str
    brokers: str
    kafka: dict[str, Any] | None = None  # JSON


def tls_dir(home: Path) -> Path:
    """Return the folder of this collector's certificate."""
    return home / "tls"


def admission_of(home: Path) -> Admission | None:
    """Return what was given before; None for a machine that did not join. Raises JoinRefused."""
    file = home / "given.json"
    if (home / "join.json").exists() or owner_of(home) in (Owner.SYSTEM, Owner.STANDBY):
        raise JoinRefused(f"{home} belongs to a central: choose another folder with --home")
    if not file.exists() or not TlsFiles.in_directory(tls_dir(home)).certificate.exists():
        return None
    try:
        content = json.loads(file.read_text())
        return Admission(str(content["name"]), str(content["brokers"]), content.get("kafka"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise JoinRefused(f"{file} cannot be read: empty {home} and join anew") from error


def admit(
    home: Path,
    primary: Address,
    name: str,
    hosts: list[str],
    *,
    role: str = ROLE,
    replaces: str = "",
) -> Admission:
    """Have the primary admit this machine as `role` by the token in its file. Blocks.

    replaces: the machine that is gone, whose place it takes.
    Raises JoinRefused: then the machine is as before, and the token is kept only where trying again
    may help. Raises TlsError where nothing can be written.
    """
    folder, file = tls_dir(home), invite_file(home)
    try:
        token = parse_token(file.read_text())
    except FileNotFoundError as error:
        raise JoinRefused(
            f"this machine did not join yet: it needs --token, from `steadflow {role} invite` "
            "on the primary"
        ) from error
    except (OSError, InviteTokenError) as error:
        raise JoinRefused(f"{file}: {error}") from error
    made = key_and_request(folder, name, hosts)
    try:
        admitted = register(
            primary, token, name, made.request_pem, joins_as=role, replaces=replaces
        )
        given = admitted.given
        found = Admission(admitted.name, str(given["brokers"]), given.get("kafka"))
    except RegisterError as error:
        if not error.is_final:
            raise JoinRefused(f"{error}; run it again, the token is kept") from error
        file.unlink()
        forget_key(folder)
        raise JoinRefused(str(error)) from error
    write_whole(home / "given.json", json.dumps(found._asdict()).encode(), mode=OWNER_ONLY)
    # Last: what is there with the certificate is all there.
    keep(folder, made, admitted)
    file.unlink()
    return found


def renewed(
    home: Path,
    primary: Address,
    before: Admission,
    *,
    role: str = ROLE,
    now: datetime,
    say: Callable[[str], None],
) -> Admission:
    """Return what holds for a machine that joined, its certificate renewed where a token is there.

    The key stays the same, so nobody is in doubt who it is. Blocks. say: told of the certificate.
    Raises JoinRefused where it has ended, and TlsError.
    """
    files, file = TlsFiles.in_directory(tls_dir(home)), invite_file(home)
    if not is_due(files, now):
        return before
    if not file.exists():
        say(certificate_sentence(files, now, role=role))
        return before
    try:
        return _renewed(home, primary, before, role)
    except JoinRefused as error:
        if ends_at(files) <= now:
            raise
        say(f"{error}; {certificate_sentence(files, now, role=role)}")
        return before


def _renewed(home: Path, primary: Address, before: Admission, role: str) -> Admission:
    folder, file = tls_dir(home), invite_file(home)
    files = TlsFiles.in_directory(folder)
    made = request_again(files)
    # The chain behind it would be as long again.
    own_pem, end, _ = files.certificate.read_text().partition("-----END CERTIFICATE-----")
    try:
        token = parse_token(file.read_text())
        admitted = register(
            primary,
            token,
            before.name,
            made.request_pem,
            joins_as=role,
            before_pem=f"{own_pem}{end}\n".encode(),
        )
        given = admitted.given
        found = Admission(admitted.name, str(given["brokers"]), given.get("kafka") or before.kafka)
    except RegisterError as error:
        if not error.is_final:
            raise JoinRefused(f"{error}; run it again, the token is kept") from error
        file.unlink()
        raise JoinRefused(str(error)) from error
    except (OSError, InviteTokenError) as error:
        raise JoinRefused(f"{file}: {error}") from error
    write_whole(home / "given.json", json.dumps(found._asdict()).encode(), mode=OWNER_ONLY)
    keep(folder, made, admitted)
    file.unlink()
    return found


def may_renew(home: Path, now: datetime) -> bool:
    """Whether the machine of `home` joined, and its certificate ends soon. Raises TlsError."""
    return is_due(TlsFiles.in_directory(tls_dir(home)), now)


def default_name(role: str) -> str:
    """Return the name of a machine that was given none."""
    return f"{role}-{socket.gethostname().partition('.')[0]}"[:64]


def own_hosts() -> list[str]:
    """Return what the certificate says of where this machine is; nobody connects to it."""
    name = socket.gethostname()
    try:
        new_key_and_request(ROLE, [name])
    except TlsError:
        return ["localhost"]
    return [name]

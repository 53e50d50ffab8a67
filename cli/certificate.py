"""When this machine's certificate ends, said while something can be done about it."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cli.home_owner import Owner, owner_of
from shared.tls import TlsError, TlsFiles, load_authority, write_node
from shared.tls.renewal import ends_at, is_due, needs_another, request_again

EVERY_S = 24 * 3600.0
RENEWS_AT_START = "start steadflow here again, which renews it"


def certificate_sentence(files: TlsFiles, now: datetime, *, role: str = "") -> str:
    """Return when it ends and what to do then; empty for more than 60 days. Raises TlsError.

    role: of a machine that cannot sign, as which it joined: `collector` or `witness`.
    """
    if not is_due(files, now):
        return ""
    until = ends_at(files)
    left = max(0, (until - now).days)
    remedy = RENEWS_AT_START
    if role:
        remedy = (
            f"`steadflow {role} invite` on the primary, stop steadflow here, and run the line that "
            "it prints in the same --home"
        )
    ended = f"this machine's certificate ended on {until:%Y-%m-%d}, and nobody lets it in"
    ends = f"this machine's certificate ends in {left} days, on {until:%Y-%m-%d}"
    return f"{ended if until <= now else ends}: {remedy}"


def sentence_of(home: Path, now: datetime) -> str:
    """Return the same of whatever runs in `home`; empty where there is no certificate."""
    is_guest = owner_of(home) is Owner.GUEST
    role = ("witness" if (home / "kafka").is_dir() else "collector") if is_guest else ""
    try:
        return certificate_sentence(TlsFiles.in_directory(home / "tls"), now, role=role)
    except TlsError:
        return ""


async def watch_certificate(home: Path, say: Callable[[str], None]) -> None:
    """Say each day that it ends soon, until cancelled; at the start somebody else did."""
    while True:
        await asyncio.sleep(EVERY_S)
        if sentence := sentence_of(home, datetime.now(UTC)):
            say(sentence)


def renew_own(folder: Path, *, role: str, hosts: Sequence[str], now: datetime) -> bool:
    """Sign a new certificate where one is due, if this machine joined and has the authority's key.

    folder: of both. hosts: names and addresses of this machine now; one that the certificate lacks
    makes it due. Return whether it did. Raises TlsError.
    """
    files = TlsFiles.in_directory(folder)
    if not (files.certificate.exists() and (folder / "ca.key").exists()):
        return False
    authority = load_authority(folder)
    if not needs_another(files, authority, hosts=hosts, now=now):
        return False
    # By the same key: nobody is in doubt who it is, and no file has to fit another one.
    made = request_again(files, hosts=hosts)
    certificate = authority.sign(made.request_pem, now=now, role=role)
    write_node(folder, made.key_pem, certificate, authority.certificate_pem)
    return True

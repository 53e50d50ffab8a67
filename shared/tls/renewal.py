"""Whether a node needs another certificate than it has, and how it gets one for its old key."""

import ipaddress
from collections.abc import Iterable
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from shared.tls.authority import Authority, load_key
from shared.tls.contexts import client_context
from shared.tls.errors import TlsError
from shared.tls.files import TlsFiles, read_pem
from shared.tls.request import HOSTS_MAX, KeyAndRequest, read_request, request_for

RENEWED_BEFORE = timedelta(days=60)


def needs_another(
    files: TlsFiles, authority: Authority, *, hosts: Iterable[str], now: datetime
) -> bool:
    """Whether `files` are missing or unusable, name not all `hosts`, or expire in 60 days."""
    try:
        client_context(files)
        certificate = x509.load_pem_x509_certificate(read_pem(files.certificate))
        certificate.verify_directly_issued_by(authority.certificate)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (TlsError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return True
    if certificate.not_valid_after_utc - now < RENEWED_BEFORE:
        return True
    held = {str(name.value).lower() for name in names}
    return not {_plain(host) for host in hosts} <= held


def ends_at(files: TlsFiles) -> datetime:
    """Return when the certificate ends, UTC. Raises TlsError."""
    return _certificate(files).not_valid_after_utc


def is_due(files: TlsFiles, now: datetime) -> bool:
    """Whether it ends in 60 days, or has ended. Raises TlsError."""
    return ends_at(files) - now < RENEWED_BEFORE


def request_again(files: TlsFiles, *, hosts: Iterable[str] = ()) -> KeyAndRequest:
    """Return a request for the same again, key, name and hosts, and for `hosts` before them.

    Of more hosts than a node may have the last are left out. Raises TlsError.
    """
    wanted = dict.fromkeys([*map(_plain, hosts), *hosts_of(files)])
    return request_for(load_key(files.key), name_of(files), list(wanted)[:HOSTS_MAX])


def name_of(files: TlsFiles) -> str:
    """Return the name of the node that the certificate is for. Raises TlsError."""
    return _of(_certificate(files), NameOID.COMMON_NAME)


def hosts_of(files: TlsFiles) -> list[str]:
    """Return the names and addresses that the certificate is for. Raises TlsError."""
    try:
        names = _certificate(files).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (ValueError, x509.ExtensionNotFound) as error:
        raise TlsError(f"{files.certificate} names no hosts") from error
    return [_plain(str(name.value)) for name in names.value]


def is_for(files: TlsFiles, host: str) -> bool:
    """Whether the certificate is for `host`. Raises TlsError."""
    return _plain(host) in hosts_of(files)


def renews(authority: Authority, before_pem: bytes, request_pem: bytes, *, role: str) -> bool:
    """Whether a request is of a node that `authority` once certified as `role`, by the same key.

    before_pem: its certificate, which may have ended: the request is signed by the key in it.
    """
    try:
        asked = read_request(request_pem)
        before = x509.load_pem_x509_certificate(before_pem)
        before.verify_directly_issued_by(authority.certificate)
        keys = [
            key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            for key in (before.public_key(), asked.public_key)
        ]
    except (TlsError, ValueError, TypeError, InvalidSignature):
        return False
    is_same_node = _of(before, NameOID.COMMON_NAME) == asked.name
    is_same_role = _of(before, NameOID.ORGANIZATIONAL_UNIT_NAME) == role
    return is_same_node and is_same_role and keys[0] == keys[1]


def _certificate(files: TlsFiles) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(read_pem(files.certificate))
    except ValueError as error:
        raise TlsError(f"{files.certificate} is no certificate") from error


def _of(certificate: x509.Certificate, what: x509.ObjectIdentifier) -> str:
    found = certificate.subject.get_attributes_for_oid(what)
    return str(found[0].value) if found else ""


def _plain(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.lower()

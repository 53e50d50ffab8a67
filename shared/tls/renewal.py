"""Whether a node needs another certificate than it has."""

import ipaddress
from collections.abc import Iterable
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from shared.tls.authority import Authority
from shared.tls.contexts import client_context
from shared.tls.errors import TlsError
from shared.tls.files import TlsFiles, read_pem

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


def _plain(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.lower()

"""Certificates of our own authority, and the TLS contexts that trust nothing else."""

from shared.tls.authority import Authority, load_authority, make_authority
from shared.tls.contexts import (
    HTTPS_CA,
    ClientCertificates,
    client_context,
    https_client_context,
    server_context,
)
from shared.tls.errors import TlsError
from shared.tls.files import TlsFiles
from shared.tls.fingerprint import fingerprint, last_certificate
from shared.tls.pinned import Pinned, pinned, pinned_certificate, pinned_context, trusting
from shared.tls.request import (
    KeyAndRequest,
    Requested,
    new_key_and_request,
    read_request,
    write_node,
)

__all__ = [
    "HTTPS_CA",
    "Authority",
    "ClientCertificates",
    "KeyAndRequest",
    "Pinned",
    "Requested",
    "TlsError",
    "TlsFiles",
    "client_context",
    "fingerprint",
    "https_client_context",
    "last_certificate",
    "load_authority",
    "make_authority",
    "new_key_and_request",
    "pinned",
    "pinned_certificate",
    "pinned_context",
    "read_request",
    "server_context",
    "trusting",
    "write_node",
]

"""Certificates of our own authority, and the TLS contexts that trust nothing else."""

from shared.tls.authority import Authority, load_authority, make_authority
from shared.tls.contexts import ClientCertificates, client_context, server_context
from shared.tls.errors import TlsError
from shared.tls.files import TlsFiles
from shared.tls.fingerprint import fingerprint
from shared.tls.pinned import pinned_certificate, pinned_context, trusting
from shared.tls.request import (
    KeyAndRequest,
    Requested,
    new_key_and_request,
    read_request,
    write_node,
)

__all__ = [
    "Authority",
    "ClientCertificates",
    "KeyAndRequest",
    "Requested",
    "TlsError",
    "TlsFiles",
    "client_context",
    "fingerprint",
    "load_authority",
    "make_authority",
    "new_key_and_request",
    "pinned_certificate",
    "pinned_context",
    "read_request",
    "server_context",
    "trusting",
    "write_node",
]

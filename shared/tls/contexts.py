"""How a node listens and connects: our authority's certificates at both ends, TLS 1.2 or newer."""

import ssl
from pathlib import Path
from typing import Literal

from shared.tls.errors import TlsError
from shared.tls.files import TlsFiles

ClientCertificates = Literal["none", "optional", "required"]
MINIMUM = ssl.TLSVersion.TLSv1_2
HTTPS_CA = "https-ca.pem"
"""Beside `ca.pem`: whom a client believes by HTTPS as well, where users gave certificates."""
_VERIFY: dict[ClientCertificates, ssl.VerifyMode] = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}


def server_context(files: TlsFiles, *, client_certificates: ClientCertificates) -> ssl.SSLContext:
    """Return the context of a listener. A client certificate that is shown is always verified.

    Raises TlsError when the files cannot be used.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, files)
    context.verify_mode = _VERIFY[client_certificates]
    return context


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """Return the context of a client: shows its certificate, verifies the server's and its name.

    Raises TlsError when the files cannot be used.
    """
    return _context(ssl.PROTOCOL_TLS_CLIENT, files)


def https_client_context(files: TlsFiles, *, own: Path | None = None) -> ssl.SSLContext:
    """Return a `client_context` for HTTPS, which believes `https-ca.pem` beside `files.ca` too.

    A server that shows a certificate of the user's own is verified so. Nobody else is: neither
    Kafka nor who shows a certificate to a server of ours. own: certificates that the servers of
    this machine show. Raises TlsError when the files cannot be used.
    """
    context = client_context(files)
    for path in (files.ca.with_name(HTTPS_CA), own):
        if path is None or (path.name == HTTPS_CA and not path.exists()):
            continue
        # The certificate of a server ends a chain as well as an authority's.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        try:
            context.load_verify_locations(path)
        except (ssl.SSLError, OSError) as error:
            raise TlsError(f"{path} holds no certificate") from error
    return context


def _context(protocol: int, files: TlsFiles) -> ssl.SSLContext:
    files.check()
    context = ssl.SSLContext(protocol)
    context.minimum_version = MINIMUM
    try:
        context.load_verify_locations(files.ca)
    except ssl.SSLError as error:
        raise TlsError(f"{files.ca} holds no certificate") from error
    try:
        # A key with a password would ask for it on a terminal that is not there.
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except (ssl.SSLError, TlsError) as error:
        raise TlsError(f"{files.certificate} and {files.key} do not fit together") from error
    return context


def _no_password() -> str:
    raise TlsError("a key without password is needed")

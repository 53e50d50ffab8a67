"""Believing a server of which only a certificate's fingerprint is known, before any file is there.

Whoever answers may send any certificates in its chain, also others' than its own. So nothing is
said on the connection that fetches the chain: the one certificate of that fingerprint becomes the
only one that is trusted, and every following connection is verified, with the host name.
"""

import contextlib
import hmac
import socket
import ssl
from typing import Any, NamedTuple

from shared.tls.contexts import MINIMUM
from shared.tls.errors import TlsError
from shared.tls.fingerprint import fingerprint_of_der

TIMEOUT_S = 10.0
_ENCODING_DER = 2
"""`_ssl.ENCODING_DER`, which has no public name."""


class Pinned(NamedTuple):
    """The certificate of a fingerprint, in PEM. is_own: the server's own, whose key it showed."""

    certificate_pem: bytes
    is_own: bool


def pinned_context(
    host: str, port: int, fingerprint: str, *, timeout_s: float = TIMEOUT_S
) -> ssl.SSLContext:
    """Return a client context that trusts only the certificate of `fingerprint` at that server.

    It may be the authority's or the server's own. Blocks. Raises TlsError.
    """
    return trusting(pinned_certificate(host, port, fingerprint, timeout_s=timeout_s))


def pinned_certificate(
    host: str, port: int, fingerprint: str, *, timeout_s: float = TIMEOUT_S
) -> bytes:
    """Return the certificate of `pinned` alone."""
    return pinned(host, port, fingerprint, timeout_s=timeout_s).certificate_pem


def pinned(host: str, port: int, fingerprint: str, *, timeout_s: float = TIMEOUT_S) -> Pinned:
    """Return the certificate of `fingerprint` out of the chain that the server sends.

    Blocks. Raises TlsError when the server does not answer, or has no such certificate.
    """
    wanted = fingerprint.lower().replace(":", "")
    for place, der in enumerate(_chain(host, port, timeout_s)):
        if hmac.compare_digest(fingerprint_of_der(der).encode(), wanted.encode()):
            # Verified or not, a handshake proves the key of the first certificate.
            return Pinned(ssl.DER_cert_to_PEM_cert(der).encode(), is_own=place == 0)
    raise TlsError(f"{host}:{port} is not the server of that fingerprint: its certificate differs")


def trusting(certificate_pem: bytes) -> ssl.SSLContext:
    """Return a client context that trusts `certificate_pem` alone. Raises TlsError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = MINIMUM
    # A server's own certificate ends a chain as well as an authority's.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata=certificate_pem.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise TlsError("no certificate in PEM") from error
    return context


def _chain(host: str, port: int, timeout_s: float) -> list[bytes]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = MINIMUM
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with contextlib.ExitStack() as stack:
            plain = stack.enter_context(socket.create_connection((host, port), timeout=timeout_s))
            secured = stack.enter_context(context.wrap_socket(plain, server_hostname=host))
            return _unverified_chain(secured)
    except OSError as error:
        said = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise TlsError(f"{host}:{port} does not answer by TLS: {said or error}") from error


def _unverified_chain(secured: ssl.SSLSocket) -> list[bytes]:
    # Any: public from Python 3.13 on; before, the same method stands on the inner object only.
    public: Any = getattr(secured, "get_unverified_chain", None)
    if public is not None:
        return [bytes(der) for der in public()]
    inner: Any = getattr(secured, "_sslobj", None)
    return [bytes(each.public_bytes(_ENCODING_DER)) for each in inner.get_unverified_chain() or ()]

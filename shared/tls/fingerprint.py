"""The name of a certificate that nobody can make another certificate for."""

import hashlib
import ssl

from shared.tls.errors import TlsError

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def fingerprint(certificate_pem: bytes) -> str:
    """Return SHA-256 of the first certificate's DER, 64 hexadecimal digits.

    Raises TlsError when there is none.
    """
    return fingerprint_of_der(first_der(certificate_pem))


def fingerprint_of_der(der: bytes) -> str:
    """Return SHA-256 of `der`, in hexadecimal."""
    return hashlib.sha256(der).hexdigest()


def last_certificate(certificate_pem: bytes) -> bytes:
    """Return the last certificate (PEM) of a chain: who signed it, where its file says so.

    Raises TlsError when there is none.
    """
    text = certificate_pem.decode("ascii", errors="replace")
    last = text[max(0, text.rfind(_BEGIN)) :].encode()
    return ssl.DER_cert_to_PEM_cert(first_der(last)).encode()


def first_der(certificate_pem: bytes) -> bytes:
    """Return the DER of the first certificate in `certificate_pem`. Raises TlsError."""
    text = certificate_pem.decode("ascii", errors="replace")
    begin = text.find(_BEGIN)
    end = text.find(_END, begin)
    if begin < 0 or end < 0:
        raise TlsError("no certificate in PEM")
    try:
        return ssl.PEM_cert_to_DER_cert(text[begin : end + len(_END)])
    except ValueError as error:
        raise TlsError(f"no certificate in PEM: {error}") from error

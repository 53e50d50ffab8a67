"""Signing what invited machines ask for, and what they are told beside their certificate."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.central.join.api import Signed
from services.central.join.invites import JoinsAs
from shared.tls import Authority, TlsError, read_request


def signer(
    authority: Authority, now_ms: Callable[[], int]
) -> Callable[[str, bytes, JoinsAs], Signed]:
    """Return what makes a certificate of a node's name, its request and its role.

    It raises ValueError with one sentence.
    """

    def sign(name: str, request_pem: bytes, joins_as: JoinsAs) -> Signed:
        try:
            asked = read_request(request_pem)
            if asked.name != name:
                raise ValueError(f"the request is of {asked.name}, not of {name}")
            now = datetime.fromtimestamp(now_ms() / 1000, UTC)
            certificate = authority.sign(
                request_pem, now=now, role=joins_as.value, serves=joins_as is not JoinsAs.COLLECTOR
            )
        except TlsError as error:
            raise ValueError(str(error)) from error
        key = asked.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return Signed(
            certificate.decode(),
            authority.certificate_pem.decode(),
            hashlib.sha256(key).hexdigest(),
        )

    return sign

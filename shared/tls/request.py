"""A node's key and the request for its certificate: made there, read by the authority."""

import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.tls.errors import TlsError
from shared.tls.files import TlsFiles
from shared.tls.writing import FOR_ALL, OWNER_ONLY, write_whole

REQUEST_BYTES_MAX = 16_384
HOSTS_MAX = 32
_KEY_BITS_MIN = 256
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DNS_BYTES_MAX = 253
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
# The last label is no number: `10.1` would be an address to some and a name to others.
_DNS = re.compile(rf"(?:{_LABEL}\.)*(?![0-9]+$){_LABEL}")

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class KeyAndRequest(NamedTuple):
    """A new private key (PKCS #8), which stays, and the request that is sent to the authority."""

    key_pem: bytes
    request_pem: bytes


class Requested(NamedTuple):
    """What a checked request asks for."""

    name: str
    hosts: tuple[str | IpAddress, ...]
    public_key: ec.EllipticCurvePublicKey


def new_key_and_request(name: str, hosts: Sequence[str]) -> KeyAndRequest:
    """Make a key (P-256) for the node `name`, reached by `hosts`: DNS names and IP addresses.

    Raises TlsError for what no authority would sign.
    """
    return request_for(ec.generate_private_key(ec.SECP256R1()), name, hosts)


def request_for(key: ec.EllipticCurvePrivateKey, name: str, hosts: Sequence[str]) -> KeyAndRequest:
    """Do the same with a key that is there."""
    _check_name(name)
    names = [_general_name(host) for host in dict.fromkeys(hosts)]
    _check_count(len(names))
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    return KeyAndRequest(key_to_pem(key), request.public_bytes(serialization.Encoding.PEM))


def read_request(request_pem: bytes) -> Requested:
    """Check all of a request that somebody sent. Raises TlsError with what is wrong in it."""
    if len(request_pem) > REQUEST_BYTES_MAX:
        raise TlsError(f"the request is longer than {REQUEST_BYTES_MAX} bytes")
    try:
        request = x509.load_pem_x509_csr(request_pem)
        is_signed = request.is_signature_valid
        subject, extensions, key = request.subject, request.extensions, request.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise TlsError("this is no certificate request") from error
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise TlsError(f"the request has odd extensions: {error}") from error
    if not is_signed:
        raise TlsError("the request is not signed with its own key")
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.key_size < _KEY_BITS_MIN:
        raise TlsError(f"the request's key must be on a curve of {_KEY_BITS_MIN} bits or more")
    return Requested(_common_name(subject), _hosts(extensions), key)


def write_node(directory: Path, key_pem: bytes, certificate_pem: bytes, ca_pem: bytes) -> TlsFiles:
    """Write a node's files, each whole, the key for its owner only. Raises TlsError.

    The authority's certificate goes into the chain as well: who knows nothing of it but the
    fingerprint finds it there.
    """
    files = TlsFiles.in_directory(directory)
    write_whole(files.key, key_pem, mode=OWNER_ONLY)
    write_whole(files.ca, ca_pem, mode=FOR_ALL)
    # Last: what is there with the certificate is all there.
    write_whole(files.certificate, certificate_pem.rstrip() + b"\n" + ca_pem, mode=FOR_ALL)
    return files


def key_to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return `key` as PKCS #8 without a password, which Kafka reads too."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _common_name(subject: x509.Name) -> str:
    attributes = list(subject)
    if [attribute.oid for attribute in attributes] != [NameOID.COMMON_NAME]:
        raise TlsError("the request's subject must be one common name")
    name = attributes[0].value
    if not isinstance(name, str):
        raise TlsError("the request's common name must be text")
    _check_name(name)
    return name


def _hosts(extensions: x509.Extensions) -> tuple[str | IpAddress, ...]:
    # Any other extension would ask for a right, such as to sign.
    if [type(each.value) for each in extensions] != [x509.SubjectAlternativeName]:
        raise TlsError("the request must have alternative names, and no other extension")
    asked = list(extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    _check_count(len(asked))
    return tuple(_host(name) for name in asked)


def _host(name: x509.GeneralName) -> str | IpAddress:
    match name:
        case x509.DNSName(value=str(host)):
            _check_dns(host)
            return host
        case x509.IPAddress(value=ipaddress.IPv4Address() | ipaddress.IPv6Address() as address):
            return address
        case _:
            raise TlsError("the request may name only DNS names and IP addresses")


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        _check_dns(host)
        return x509.DNSName(host)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise TlsError(f"{name[:64]!r} is no node name: letters, digits and `._-`, at most 64")


def _check_dns(host: str) -> None:
    if len(host) > _DNS_BYTES_MAX or not _DNS.fullmatch(host):
        raise TlsError(f"{host[:64]!r} is no host name")


def _check_count(count: int) -> None:
    if not 1 <= count <= HOSTS_MAX:
        raise TlsError(f"a node has 1 to {HOSTS_MAX} host names and addresses, not {count}")

"""Our own certificate authority: one key in a folder, made once, that signs the nodes' requests."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shared.tls.errors import TlsError
from shared.tls.files import check_owner_only, read_pem
from shared.tls.request import key_to_pem, read_request
from shared.tls.writing import FOR_ALL, OWNER_ONLY, write_whole

AUTHORITY_DAYS = 7300
NODE_DAYS = 825
"""What browsers and Apple's systems accept from an authority that a user added."""
_BACKDATED = timedelta(days=1)
"""A node whose clock is behind must not find its certificate not valid yet."""


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs certificates. key: whoever has it is believed by every node."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """What everybody may have, to verify what was signed."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key itself: for another machine that shall sign as well, and nobody else."""
        return key_to_pem(self.key)

    def sign(
        self,
        request_pem: bytes,
        *,
        now: datetime,
        days: int = NODE_DAYS,
        role: str = "",
        serves: bool = True,
    ) -> bytes:
        """Return the certificate (PEM) of a node, for both ends of a connection, for `days` days.

        role: what the node is, said as its unit (OU); a request cannot ask for it. serves: False
        for a node to which nobody connects: it cannot pose as a server. Raises TlsError for a
        request that asks for anything but a name, DNS names and addresses.
        """
        if not 1 <= days <= NODE_DAYS:
            raise TlsError(f"a certificate holds 1 to {NODE_DAYS} days, not {days}")
        asked = read_request(request_pem)
        until = min(now + timedelta(days=days), self.certificate.not_valid_after_utc)
        names = [
            x509.DNSName(host) if isinstance(host, str) else x509.IPAddress(host)
            for host in asked.hosts
        ]
        builder = _builder(
            subject=_name(asked.name, role),
            issuer=self.certificate.subject,
            public_key=asked.public_key,
            signer=self.key.public_key(),
            signs=False,
            now=now,
            until=until,
        )
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        ends = [ExtendedKeyUsageOID.SERVER_AUTH] * serves + [ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(ends), critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def make_authority(directory: Path, *, now: datetime) -> Authority:
    """Return the authority in `directory` (`ca.pem`, `ca.key`), made when there is none.

    Raises TlsError for files that are there but cannot be used. A kill at any point leaves none,
    or a key for which the next call makes the certificate.
    """
    key_file, certificate_file = directory / "ca.key", directory / "ca.pem"
    if certificate_file.exists():
        return load_authority(directory)
    if key_file.exists():
        key = load_key(key_file)
    else:
        key = ec.generate_private_key(ec.SECP256R1())
        write_whole(key_file, key_to_pem(key), mode=OWNER_ONLY)
    authority = Authority(_certificate_of(key, now), key)
    write_whole(certificate_file, authority.certificate_pem, mode=FOR_ALL)
    return authority


def _certificate_of(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    public = key.public_key()
    # Two authorities of one name would be taken for each other until a signature fails.
    name = _name(f"steadflow CA {x509.SubjectKeyIdentifier.from_public_key(public).digest.hex()}")
    return _builder(
        subject=name,
        issuer=name,
        public_key=public,
        signer=public,
        signs=True,
        now=now,
        until=now + timedelta(days=AUTHORITY_DAYS),
    ).sign(key, hashes.SHA256())


def _builder(
    *,
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePublicKey,
    signs: bool,
    now: datetime,
    until: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(until)
        .add_extension(
            x509.BasicConstraints(ca=signs, path_length=0 if signs else None), critical=True
        )
        .add_extension(
            x509.KeyUsage(
                digital_signature=not signs,
                key_cert_sign=signs,
                crl_sign=signs,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
    )


def _name(common_name: str, unit: str = "") -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if unit:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
    return x509.Name(attributes)


def load_authority(directory: Path) -> Authority:
    """Return the authority that is in `directory`. Raises TlsError."""
    key_file, certificate_file = directory / "ca.key", directory / "ca.pem"
    key = load_key(key_file)
    try:
        certificate = x509.load_pem_x509_certificate(read_pem(certificate_file))
    except ValueError as error:
        raise TlsError(f"{certificate_file} is no certificate") from error
    if certificate.public_key() != key.public_key():
        raise TlsError(f"{key_file} is not the key of {certificate_file}")
    return Authority(certificate, key)


def load_key(key_file: Path) -> ec.EllipticCurvePrivateKey:
    """Return the key that is in a file for its owner only. Raises TlsError."""
    content = read_pem(key_file)
    check_owner_only(key_file)
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise TlsError(f"{key_file} is no private key without password") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TlsError(f"{key_file} is no key on an elliptic curve")
    return key

"""What an authority signs, and what it refuses."""

import contextlib
import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from shared.tls import Authority, TlsError, make_authority, new_key_and_request, read_request
from shared.tls.renewal import renews, request_again
from tests.tls_nodes import authority_in, make_node

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"), now=NOW)


def request_of(
    names: Sequence[x509.GeneralName] | None,
    *,
    subject: Sequence[tuple[x509.ObjectIdentifier, str]] = ((NameOID.COMMON_NAME, "node"),),
    more: Sequence[x509.ExtensionType] = (),
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None,
) -> bytes:
    """Return a request that any tool could have made."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(kind, value) for kind, value in subject])
    )
    if names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    for extension in more:
        builder = builder.add_extension(extension, critical=True)
    signed = builder.sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def refused(authority: Authority, request_pem: bytes, match: str) -> None:
    with pytest.raises(TlsError, match=match):
        authority.sign(request_pem, now=NOW)


LOCAL = (x509.DNSName("localhost"),)


def test_a_signed_certificate_says_who_where_what_for_and_how_long(authority: Authority) -> None:
    made = new_key_and_request("central-b", ["b.example", "192.0.2.7", "2001:db8::7", "b.example"])

    signed = x509.load_pem_x509_certificate(authority.sign(made.request_pem, now=NOW))

    signed.verify_directly_issued_by(authority.certificate)
    assert signed.subject.rfc4514_string() == "CN=central-b"
    names = signed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [
        x509.DNSName("b.example"),
        x509.IPAddress(ipaddress.ip_address("192.0.2.7")),
        x509.IPAddress(ipaddress.ip_address("2001:db8::7")),
    ]
    uses = signed.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(uses) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    basic = signed.extensions.get_extension_for_class(x509.BasicConstraints)
    assert basic.critical
    assert not basic.value.ca
    assert signed.not_valid_before_utc == NOW - timedelta(days=1)
    assert signed.not_valid_after_utc == NOW + timedelta(days=825)
    key = serialization.load_pem_private_key(made.key_pem, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.public_key() == signed.public_key()


def test_a_certificate_does_not_outlive_its_authority(authority: Authority) -> None:
    request_pem = new_key_and_request("node", ["localhost"]).request_pem
    late = authority.certificate.not_valid_after_utc - timedelta(days=1)

    signed = x509.load_pem_x509_certificate(authority.sign(request_pem, now=late))

    assert signed.not_valid_after_utc == authority.certificate.not_valid_after_utc
    for days in (0, 826):
        with pytest.raises(TlsError, match="1 to 825 days"):
            authority.sign(request_pem, now=NOW, days=days)


def test_what_is_asked_for_can_be_read_before_it_is_signed() -> None:
    made = new_key_and_request("node", ["a.example", "192.0.2.7"])

    asked = read_request(made.request_pem)

    assert asked.name == "node"
    assert asked.hosts == ("a.example", ipaddress.ip_address("192.0.2.7"))


@pytest.mark.parametrize(
    "name",
    [
        x509.RFC822Name("somebody@example.com"),
        x509.UniformResourceIdentifier("https://a.example/"),
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
        x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a.example")])),
        x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"),
        x509.IPAddress(ipaddress.ip_network("10.0.0.0/8")),
    ],
)
def test_only_names_and_addresses_are_signed(authority: Authority, name: x509.GeneralName) -> None:
    refused(authority, request_of([*LOCAL, name]), "only DNS names and IP addresses")


@pytest.mark.parametrize(
    "host",
    ["*.example", "*", "", ".", "a..b", "a.", "-a", "a-", "127.0.0.1", "10.1", "7", "a b", "a/b",
     "a\x00.example", "a" * 64, ".".join(["a" * 60] * 5), "a\n"],
)  # fmt: skip
def test_odd_host_names_are_refused(authority: Authority, host: str) -> None:
    refused(authority, request_of([x509.DNSName(host)]), "is no host name")


def test_addresses_and_odd_names_are_told_apart_where_a_request_is_made() -> None:
    for host in ("*.example", "10.1", "ä.example", "a:1"):
        with pytest.raises(TlsError, match="is no host name"):
            new_key_and_request("node", [host])
    for name in ("", "a b", "a" * 65, "a/b"):
        with pytest.raises(TlsError, match="is no node name"):
            new_key_and_request(name, ["localhost"])
    with pytest.raises(TlsError, match="1 to 32"):
        new_key_and_request("node", [])


def test_the_number_of_names_is_bounded(authority: Authority) -> None:
    many = [x509.DNSName(f"a{number}.example") for number in range(33)]

    assert authority.sign(request_of(many[:32]), now=NOW)
    refused(authority, request_of(many), "not 33")
    refused(authority, request_of([]), "1 to 32|no certificate request")
    refused(authority, request_of(None), "must have alternative names")


@pytest.mark.parametrize(
    "subject",
    [
        (),
        ((NameOID.COMMON_NAME, "a b"),),
        ((NameOID.COMMON_NAME, "steadflow CA"),),
        ((NameOID.COMMON_NAME, "a"), (NameOID.COMMON_NAME, "b")),
        ((NameOID.COMMON_NAME, "a"), (NameOID.ORGANIZATION_NAME, "b")),
        ((NameOID.ORGANIZATION_NAME, "a"),),
    ],
)
def test_the_subject_is_one_node_name(
    authority: Authority, subject: tuple[tuple[x509.ObjectIdentifier, str], ...]
) -> None:
    refused(authority, request_of(LOCAL, subject=subject), "common name|node name")


@pytest.mark.parametrize(
    "extension",
    [
        x509.BasicConstraints(ca=True, path_length=None),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]),
        x509.SubjectKeyIdentifier(b"12345"),
    ],
)
def test_no_other_right_can_be_asked_for(
    authority: Authority, extension: x509.ExtensionType
) -> None:
    refused(authority, request_of(LOCAL, more=[extension]), "no other extension")


def test_weak_and_unusual_keys_are_refused(authority: Authority) -> None:
    for key in (
        ec.generate_private_key(ec.SECP224R1()),
        rsa.generate_private_key(public_exponent=65_537, key_size=2048),
    ):
        refused(authority, request_of(LOCAL, key=key), "curve of 256 bits")


def test_a_request_that_was_changed_on_its_way_is_refused(authority: Authority) -> None:
    request_pem = new_key_and_request("node", ["localhost"]).request_pem
    der = bytearray(x509.load_pem_x509_csr(request_pem).public_bytes(serialization.Encoding.DER))
    der[der.index(b"localhost")] ^= 1
    changed = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM)

    refused(authority, changed, "not signed with its own key")


@given(junk=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(junk: bytes) -> None:
    request_pem = new_key_and_request("node", ["localhost"]).request_pem
    for sent in (junk, request_pem[:100] + junk + request_pem[100:]):
        with contextlib.suppress(TlsError):
            read_request(sent)


def test_a_request_longer_than_any_honest_one_is_not_even_read(authority: Authority) -> None:
    request_pem = new_key_and_request("node", ["localhost"]).request_pem
    refused(authority, request_pem + b"\n" * 20_000, "longer than")


def test_two_authorities_have_two_names(tmp_path: Path, authority: Authority) -> None:
    other = make_authority(tmp_path, now=NOW)

    assert other.certificate.subject != authority.certificate.subject


def test_only_the_same_node_of_the_same_role_and_key_renews(tmp_path: Path) -> None:
    authority, long_ago = authority_in(tmp_path / "a"), datetime.now(UTC) - timedelta(days=900)
    files = make_node(authority, tmp_path / "w", name="w", role="witness", now=long_ago)
    other = make_node(authority, tmp_path / "x", name="x", role="witness")
    same_name = make_node(authority, tmp_path / "w2", name="w", role="witness")
    foreign = make_node(authority_in(tmp_path / "b"), tmp_path / "f", name="w", role="witness")
    before, request = files.certificate.read_bytes(), request_again(files).request_pem

    assert renews(authority, before, request, role="witness")
    assert not renews(authority, before, request, role="standby")
    assert not renews(authority, b"none", request, role="witness")
    assert not renews(authority, before, b"none", role="witness")
    for each in (other, same_name, foreign):
        certificate, asked = each.certificate.read_bytes(), request_again(each).request_pem
        assert not renews(authority, before, asked, role="witness")
        assert not renews(authority, certificate, request, role="witness")
    # Of a foreign authority it all fits together, and is believed nevertheless by nobody here.
    certificate, asked = foreign.certificate.read_bytes(), request_again(foreign).request_pem
    assert not renews(authority, certificate, asked, role="witness")

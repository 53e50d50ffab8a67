"""Certificates of our authority in real handshakes over loopback."""

import hashlib
import ssl
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from shared.tls import (
    HTTPS_CA,
    Authority,
    TlsError,
    TlsFiles,
    client_context,
    fingerprint,
    https_client_context,
    last_certificate,
    make_authority,
    new_key_and_request,
    pinned_certificate,
    pinned_context,
    server_context,
    trusting,
    write_node,
)
from tests.tls_nodes import authority_in, careless_server, greet, listening, make_node, old_client

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return authority_in(tmp_path / "authority")


def refusal(match: str) -> AbstractContextManager[object]:
    return pytest.raises(ssl.SSLError, match=match)


def test_two_nodes_of_one_authority_know_each_other(authority: Authority, tmp_path: Path) -> None:
    server = make_node(authority, tmp_path / "a", "a.example", "localhost", "127.0.0.1", name="a")
    client = make_node(authority, tmp_path / "b", name="b")

    with listening(server_context(server, client_certificates="required")) as port:
        for host in ("localhost", "127.0.0.1", "a.example"):
            assert greet(client_context(client), port, host=host) == "b"


@pytest.mark.parametrize("names", [("other.example",), ("127.0.0.2",)])
def test_another_name_is_refused(
    authority: Authority, tmp_path: Path, names: tuple[str, ...]
) -> None:
    server = make_node(authority, tmp_path / "a", *names)
    client = make_node(authority, tmp_path / "b")

    with listening(server_context(server, client_certificates="none")) as port:
        for host in ("localhost", "127.0.0.1"):
            with refusal(r"mismatch|not valid for"):
                greet(client_context(client), port, host=host)


def test_another_authority_is_refused_at_both_ends(authority: Authority, tmp_path: Path) -> None:
    other = authority_in(tmp_path / "other")
    ours = make_node(authority, tmp_path / "a")
    theirs = make_node(other, tmp_path / "b")
    posing = TlsFiles(ours.ca, theirs.certificate, theirs.key)

    with (
        listening(server_context(theirs, client_certificates="none")) as port,
        refusal(r"self-signed|unable to get"),
    ):
        greet(client_context(ours), port)
    with (
        listening(server_context(ours, client_certificates="required")) as port,
        refusal(r"unknown ca|UNKNOWN_CA"),
    ):
        greet(client_context(posing), port)


def test_a_client_certificate_is_required_optional_or_not_asked_for(
    authority: Authority, tmp_path: Path
) -> None:
    server = make_node(authority, tmp_path / "a")
    nobody, somebody = trusting(authority.certificate_pem), client_context(server)

    with (
        listening(server_context(server, client_certificates="required")) as port,
        refusal(r"(?i)certificate.required"),
    ):
        greet(nobody, port)
    with listening(server_context(server, client_certificates="optional")) as port:
        assert [greet(nobody, port), greet(somebody, port)] == ["-", "node"]
    with listening(server_context(server, client_certificates="none")) as port:
        assert greet(somebody, port) == "-"


def test_what_has_expired_is_refused(authority: Authority, tmp_path: Path) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=826)
    expired = make_node(authority, tmp_path / "a", now=long_ago)
    valid = make_node(authority, tmp_path / "b")

    with (
        listening(server_context(expired, client_certificates="none")) as port,
        refusal(r"expired"),
    ):
        greet(client_context(valid), port)
    with (
        listening(server_context(valid, client_certificates="required")) as port,
        refusal(r"(?i)certificate.expired"),
    ):
        greet(client_context(expired), port)


def test_tls_1_1_is_refused_and_a_careless_server_would_take_it(
    authority: Authority, tmp_path: Path
) -> None:
    files = make_node(authority, tmp_path / "a")

    with (
        listening(server_context(files, client_certificates="none")) as port,
        refusal(r"(?i)protocol.version|unsupported.protocol"),
    ):
        greet(old_client(files), port)
    with listening(careless_server(files)) as port:
        assert greet(old_client(files), port) == "-"
        with refusal(r"(?i)protocol.version|unsupported.protocol"):
            greet(client_context(files), port)


def test_the_newest_version_is_taken(authority: Authority, tmp_path: Path) -> None:
    files = make_node(authority, tmp_path / "a")

    assert client_context(files).maximum_version == ssl.TLSVersion.MAXIMUM_SUPPORTED
    for context in (client_context(files), server_context(files, client_certificates="required")):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_server_is_found_by_the_fingerprint_of_its_authority(
    authority: Authority, tmp_path: Path
) -> None:
    files = make_node(authority, tmp_path / "a")
    known = fingerprint(authority.certificate_pem)

    # One that wants certificates of its clients can be asked who it is all the same.
    with listening(server_context(files, client_certificates="required")) as port:
        assert pinned_certificate("127.0.0.1", port, known) == authority.certificate_pem
    with listening(server_context(files, client_certificates="optional")) as port:
        assert greet(pinned_context("127.0.0.1", port, known.upper()), port) == "-"
        with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
            greet(pinned_context("127.0.0.1", port, known), port, host="other.example")


def test_a_server_is_found_by_its_own_fingerprint(authority: Authority, tmp_path: Path) -> None:
    files = make_node(authority, tmp_path / "a")
    sister = make_node(authority, tmp_path / "b")
    known = fingerprint(files.certificate.read_bytes())

    with listening(server_context(files, client_certificates="none")) as port:
        context = pinned_context("127.0.0.1", port, known)
        assert greet(context, port) == "-"
    with (
        listening(server_context(sister, client_certificates="none")) as port,
        refusal(r"(?i)verify failed"),
    ):
        greet(context, port)


def test_a_role_is_what_the_authority_says_and_who_serves_nobody_is_no_server(
    authority: Authority, tmp_path: Path
) -> None:
    made = new_key_and_request("collector-2", ["localhost"])
    now = datetime.now(UTC)
    signed = authority.sign(made.request_pem, now=now, role="collector", serves=False)
    files = write_node(tmp_path / "c", made.key_pem, signed, authority.certificate_pem)
    node = make_node(authority, tmp_path / "a")

    subject = x509.load_pem_x509_certificate(signed).subject
    assert subject.rfc4514_string() == "OU=collector,CN=collector-2"
    with listening(server_context(node, client_certificates="required")) as port:
        assert greet(client_context(files), port) == "collector-2"
    with (
        listening(server_context(files, client_certificates="none")) as port,
        pytest.raises(ssl.SSLCertVerificationError, match="purpose"),
    ):
        greet(client_context(node), port)


def test_a_users_own_certificate_is_believed_by_https_alone(
    authority: Authority, tmp_path: Path
) -> None:
    files = make_node(authority, tmp_path / "a")
    company = authority_in(tmp_path / "company")
    own = make_node(company, tmp_path / "own")
    shown = TlsFiles(files.ca, own.certificate, own.key)
    (tmp_path / "a" / HTTPS_CA).write_bytes(last_certificate(own.certificate.read_bytes()))

    with listening(server_context(shown, client_certificates="required")) as port:
        assert greet(https_client_context(files), port) == "node"
        with pytest.raises(ssl.SSLCertVerificationError):
            greet(client_context(files), port)
        # Who has a certificate of that company is no node.
        with refusal(r"(?i)unknown|alert|reset|eof"):
            greet(client_context(TlsFiles(company_ca(tmp_path), own.certificate, own.key)), port)
    for damaged in (b"", b"no certificate"):
        (tmp_path / "a" / HTTPS_CA).write_bytes(damaged)
        with pytest.raises(TlsError, match="holds no certificate"):
            https_client_context(files)


def company_ca(tmp_path: Path) -> Path:
    return tmp_path / "own" / "ca.pem"


def test_a_wrong_fingerprint_is_refused(authority: Authority, tmp_path: Path) -> None:
    files = make_node(authority, tmp_path / "a")
    other = fingerprint(authority_in(tmp_path / "other").certificate_pem)

    with listening(server_context(files, client_certificates="none")) as port:
        for wrong in (other, other[:10], ""):
            with pytest.raises(TlsError, match="not the server of that fingerprint"):
                pinned_certificate("127.0.0.1", port, wrong)


def test_showing_somebody_elses_authority_in_the_chain_does_not_help(
    authority: Authority, tmp_path: Path
) -> None:
    liar = make_node(authority_in(tmp_path / "liar"), tmp_path / "a")
    with liar.certificate.open("ab") as chain:
        chain.write(authority.certificate_pem)
    known = fingerprint(authority.certificate_pem)

    with listening(server_context(liar, client_certificates="none")) as port:
        context = pinned_context("127.0.0.1", port, known)
        with pytest.raises(ssl.SSLCertVerificationError):
            greet(context, port)


def test_what_does_not_answer_by_tls_is_said(tmp_path: Path, authority: Authority) -> None:
    files = make_node(authority, tmp_path / "a")
    with listening(server_context(files, client_certificates="none")) as port:
        pass
    with pytest.raises(TlsError, match=f"127.0.0.1:{port} does not answer by TLS"):
        pinned_certificate("127.0.0.1", port, "00")


def test_an_authority_is_made_once_and_its_key_is_for_its_owner(tmp_path: Path) -> None:
    made = make_authority(tmp_path, now=NOW)

    again = make_authority(tmp_path, now=NOW + timedelta(days=1))

    assert again.certificate_pem == made.certificate_pem == (tmp_path / "ca.pem").read_bytes()
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600


def test_killed_before_its_certificate_an_authority_is_finished_with_the_same_key(
    tmp_path: Path,
) -> None:
    make_authority(tmp_path, now=NOW)
    key = (tmp_path / "ca.key").read_bytes()
    (tmp_path / "ca.pem").unlink()

    make_authority(tmp_path, now=NOW)

    assert (tmp_path / "ca.key").read_bytes() == key
    assert make_authority(tmp_path, now=NOW).certificate_pem


def test_an_authority_that_cannot_be_used_is_said_and_never_replaced(tmp_path: Path) -> None:
    make_authority(tmp_path / "other", now=NOW)
    make_authority(tmp_path / "a", now=NOW)
    key, certificate = tmp_path / "a" / "ca.key", tmp_path / "a" / "ca.pem"
    content, certificate_pem = key.read_bytes(), certificate.read_bytes()

    def refused(match: str) -> None:
        with pytest.raises(TlsError, match=match):
            make_authority(tmp_path / "a", now=NOW)

    key.chmod(0o640)
    refused("chmod 600")
    key.chmod(0o600)
    certificate.write_bytes((tmp_path / "other" / "ca.pem").read_bytes())
    refused("is not the key of")
    certificate.write_text("nothing")
    refused("is no certificate")
    certificate.write_bytes(certificate_pem)
    key.write_text("nothing")
    refused("is no private key")
    key.unlink()
    refused("ca.key is missing")
    key.touch(mode=0o600)
    key.write_bytes(content)
    assert make_authority(tmp_path / "a", now=NOW).certificate_pem == certificate_pem


def test_a_nodes_key_is_for_its_owner_and_checked(authority: Authority, tmp_path: Path) -> None:
    files = make_node(authority, tmp_path / "a")
    assert files == TlsFiles.in_directory(tmp_path / "a")
    assert files.key.stat().st_mode & 0o777 == 0o600
    files.check()

    files.key.chmod(0o604)
    with pytest.raises(TlsError, match=r"node\.key must be readable by its owner only"):
        client_context(files)
    files.key.chmod(0o600)
    for path in (files.ca, files.certificate, files.key):
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(TlsError, match=f"{path.name} is missing"):
            files.check()
        path.touch(mode=0o600)
        path.write_bytes(content)


def test_files_that_do_not_fit_together_are_said(authority: Authority, tmp_path: Path) -> None:
    files = make_node(authority, tmp_path / "a")
    other = make_node(authority, tmp_path / "b")

    with pytest.raises(TlsError, match="do not fit together"):
        client_context(TlsFiles(files.ca, files.certificate, other.key))
    files.ca.write_text("nothing")
    with pytest.raises(TlsError, match="holds no certificate"):
        client_context(files)


def test_a_key_that_was_readable_is_written_anew_for_its_owner(tmp_path: Path) -> None:
    (tmp_path / "node.key").write_text("old")
    (tmp_path / "node.key.new").write_text("left by a kill")

    files = write_node(tmp_path, b"new", b"certificate", b"ca")

    assert files.key.stat().st_mode & 0o777 == 0o600
    assert files.key.read_bytes() == b"new"
    assert files.certificate.read_bytes() == b"certificate\nca"


def test_a_fingerprint_is_that_of_the_first_certificate(
    authority: Authority, tmp_path: Path
) -> None:
    files = make_node(authority, tmp_path / "a")
    der = ssl.PEM_cert_to_DER_cert(authority.certificate_pem.decode())

    assert fingerprint(authority.certificate_pem) == fingerprint(files.ca.read_bytes())
    assert len(fingerprint(files.certificate.read_bytes())) == 64
    assert fingerprint(files.certificate.read_bytes()) != fingerprint(authority.certificate_pem)
    told = fingerprint(b"text before\n" + authority.certificate_pem)
    assert told == hashlib.sha256(der).hexdigest()
    with pytest.raises(TlsError, match="no certificate"):
        fingerprint(b"nothing")

"""Nodes with certificates, and two ends that shake hands over loopback."""

import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from shared.tls import Authority, TlsFiles, make_authority, new_key_and_request, write_node

LOCAL = ("localhost", "127.0.0.1")
_TIMEOUT_S = 20.0


def make_node(
    authority: Authority,
    directory: Path,
    *hosts: str,
    name: str = "node",
    role: str = "",
    now: datetime | None = None,
) -> TlsFiles:
    """Write the files of a node that `authority` believes, by default one of this machine."""
    made = new_key_and_request(name, hosts or LOCAL)
    certificate = authority.sign(made.request_pem, now=now or datetime.now(UTC), role=role)
    return write_node(directory, made.key_pem, certificate, authority.certificate_pem)


def authority_in(directory: Path) -> Authority:
    """Make an authority now."""
    return make_authority(directory, now=datetime.now(UTC))


def old_client(files: TlsFiles | None = None, *, ca: Path | None = None) -> ssl.SSLContext:
    """Return a client that speaks TLS 1.1 at most, as far as the library can."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _allow_old(context)
    if files is not None:
        context.load_verify_locations(files.ca)
        context.load_cert_chain(files.certificate, files.key)
    if ca is not None:
        context.load_verify_locations(ca)
    return context


def careless_server(files: TlsFiles) -> ssl.SSLContext:
    """Return a listener that lets TLS 1.1 in: the control of every test that refuses it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _allow_old(context)
    context.load_cert_chain(files.certificate, files.key)
    return context


def _allow_old(context: ssl.SSLContext) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1_1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")


@contextmanager
def listening(context: ssl.SSLContext) -> Iterator[int]:
    """Answer every connection with its peer's common name, or `-`; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    plain, _ = listener.accept()
                except OSError:
                    return
                plain.settimeout(_TIMEOUT_S)
                try:
                    with context.wrap_socket(plain, server_side=True) as secured:
                        secured.sendall(_common_name(secured).encode())
                except OSError:
                    plain.close()

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(_TIMEOUT_S)


def greet(context: ssl.SSLContext, port: int, *, host: str = "localhost") -> str:
    """Connect as to `host` and return who the server says we are."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        return secured.recv(100).decode()


def _common_name(secured: ssl.SSLSocket) -> str:
    der = secured.getpeercert(binary_form=True)
    if der is None or secured.context.verify_mode is ssl.CERT_NONE:
        return "-"
    subject = x509.load_der_x509_certificate(der).subject
    return str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)

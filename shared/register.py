"""Registering with the primary, which is believed by the fingerprint in the token alone."""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx

from shared.host_port import host_port
from shared.invite_token import InviteToken
from shared.problem_detail import detail_of
from shared.tls import (
    HTTPS_CA,
    KeyAndRequest,
    TlsError,
    fingerprint,
    new_key_and_request,
    pinned,
    trusting,
    write_node,
)
from shared.tls.authority import load_key
from shared.tls.request import request_for
from shared.tls.writing import FOR_ALL, OWNER_ONLY, write_whole

TIMEOUT_S = 30.0
HTTPS_PORT = 443


class RegisterError(Exception):
    """The primary did not admit this machine; the text is one sentence."""

    def __init__(self, sentence: str, *, is_final: bool) -> None:
        """is_final: asking again with the same token is of no use."""
        super().__init__(sentence)
        self.is_final = is_final


class Address(NamedTuple):
    """Where the primary answers."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """As people write it."""
        return f"https://{host_port(self.host, self.port)}"


@dataclass(frozen=True, slots=True)
class Admitted:
    """What the primary gave. joins_as: `standby` or `collector`. given: the rest, as JSON.

    https_ca_pem: whom to believe by HTTPS beside the authority; empty for nobody.
    """

    name: str
    joins_as: str
    certificate_pem: bytes
    ca_pem: bytes
    given: Mapping[str, Any]
    https_ca_pem: bytes = b""


def parse_primary(text: str) -> Address:
    """Return the address in `https://HOST[:PORT]`. Raises ValueError with one sentence."""
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        port = parts.port or HTTPS_PORT
    except ValueError as error:
        raise ValueError(f"{text[:100]!r} is no address like https://primary:443") from error
    if parts.scheme != "https":
        raise ValueError("the primary is reached over https only: the token is secret")
    if not parts.hostname:
        raise ValueError(f"{text[:100]!r} names no host")
    return Address(parts.hostname, port)


def key_and_request(directory: Path, name: str, hosts: Sequence[str]) -> KeyAndRequest:
    """Return this node's key and a request by it; the key kept in `directory` when there is one.

    The token admits one key: who asks again after an answer that was lost must show the same one,
    also when another host is asked for. Raises TlsError.
    """
    key_file = directory / "joining.key"
    if key_file.exists():
        return request_for(load_key(key_file), name, hosts)
    made = new_key_and_request(name, hosts)
    write_whole(key_file, made.key_pem, mode=OWNER_ONLY)
    return made


def register(
    primary: Address,
    token: InviteToken,
    name: str,
    request_pem: bytes,
    *,
    joins_as: str,
    replaces: str = "",
    before_pem: bytes = b"",
) -> Admitted:
    """Ask the primary to admit this node as `joins_as`. Blocking. Raises RegisterError.

    replaces: the machine that is gone, whose place it takes. before_pem: the certificate of this
    node that shall be renewed.
    """
    try:
        server = pinned(primary.host, primary.port, token.fingerprint)
    except TlsError as error:
        raise RegisterError(str(error), is_final="fingerprint" in str(error)) from error
    body = {
        "token": str(token),
        "name": name,
        "joins_as": joins_as,
        "request": request_pem.decode(),
        "replaces": replaces,
    }
    if before_pem:
        body["before"] = before_pem.decode()
    answer = _post(trusting(server.certificate_pem), f"{primary.url}/api/v1/join", body)
    if answer.status_code != httpx.codes.OK:
        is_final = answer.status_code in (400, 403, 409)
        said = detail_of(answer) or f"status {answer.status_code}"
        raise RegisterError(f"the primary says: {said}", is_final=is_final)
    try:
        content = dict(answer.json())
        ca_pem = str(content.pop("ca")).encode()
        admitted = Admitted(
            str(content.pop("name")),
            str(content.pop("joins_as")),
            str(content.pop("certificate")).encode(),
            ca_pem,
            content,
            str(content.pop("https_ca", "")).encode(),
        )
        # A server with a certificate of the user's own was believed itself, so it may name its
        # authority; one that only has a certificate of the authority may name no other.
        is_believed = server.is_own or fingerprint(ca_pem) == token.fingerprint
    except (ValueError, KeyError, TypeError, TlsError) as error:
        raise RegisterError("the primary's answer is not whole", is_final=False) from error
    if not is_believed:
        raise RegisterError("the primary gave another authority than the token's", is_final=True)
    if admitted.joins_as != joins_as:
        raise RegisterError(f"the primary admitted a {admitted.joins_as}", is_final=True)
    return admitted


def keep(directory: Path, made: KeyAndRequest, admitted: Admitted) -> None:
    """Write what makes this machine a node: key, certificate, authority. Raises TlsError."""
    if admitted.https_ca_pem:
        write_whole(directory / HTTPS_CA, admitted.https_ca_pem, mode=FOR_ALL)
    write_node(directory, made.key_pem, admitted.certificate_pem, admitted.ca_pem)
    forget_key(directory)


def forget_key(directory: Path) -> None:
    """Remove the key of a join that is over."""
    (directory / "joining.key").unlink(missing_ok=True)


def _post(context: ssl.SSLContext, url: str, body: object) -> httpx.Response:
    try:
        with httpx.Client(verify=context, timeout=TIMEOUT_S, trust_env=False) as client:
            return client.post(url, json=body)
    except httpx.HTTPError as error:
        said = str(error) or type(error).__name__
        raise RegisterError(f"the primary did not answer: {said}", is_final=False) from error

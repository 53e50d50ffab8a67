"""A machine registers over real HTTPS, and believes the fingerprint in its token alone."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from services.central.join.invites import JoinsAs
from services.central.join.signing import signer
from shared.http import http_server, listen
from shared.invite_token import InviteToken
from shared.register import (
    Address,
    Admitted,
    RegisterError,
    forget_key,
    keep,
    key_and_request,
    parse_primary,
    register,
)
from shared.tls import (
    Authority,
    TlsFiles,
    client_context,
    fingerprint,
    https_client_context,
    read_request,
    server_context,
)
from shared.tls.fingerprint import first_der
from tests.tls_nodes import authority_in, make_node

DEADLINE_S = 60.0
Answer = Callable[[dict[str, str]], tuple[int, dict[str, object]]]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return authority_in(tmp_path / "authority")


def token_of(authority: Authority) -> InviteToken:
    return InviteToken("00" * 8, "5e" * 24, fingerprint(authority.certificate_pem))


def admits(authority: Authority, now_ms: int = 1_800_000_000_000) -> Answer:
    def answer(body: dict[str, str]) -> tuple[int, dict[str, object]]:
        signed = signer(authority, lambda: now_ms)(
            body["name"], body["request"].encode(), JoinsAs(body["joins_as"])
        )
        return 200, {
            "name": body["name"],
            "joins_as": body["joins_as"],
            "certificate": signed.certificate_pem,
            "ca": signed.ca_pem,
            "token": "of the cluster",
        }

    return answer


@asynccontextmanager
async def primary(files: TlsFiles, answer: Answer) -> AsyncIterator[Address]:
    app = FastAPI()

    @app.post("/api/v1/join")
    def join(body: dict[str, str]) -> JSONResponse:
        status, content = answer(body)
        return JSONResponse(content, status)

    server = http_server(app, stop_s=1, tls=files, client_certificates="optional")
    with listen("127.0.0.1", 0) as listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        async with asyncio.timeout(DEADLINE_S):
            while not server.started:
                await asyncio.sleep(0.01)
        try:
            yield Address("localhost", listener.getsockname()[1])
        finally:
            server.should_exit = True
            await task


async def ask(
    at: Address, token: InviteToken, folder: Path, name: str = "central-c", role: str = "standby"
) -> Admitted:
    made = key_and_request(folder, name, ["127.0.0.1"])
    return await asyncio.to_thread(register, at, token, name, made.request_pem, joins_as=role)


async def test_what_the_primary_gives_makes_a_node(authority: Authority, tmp_path: Path) -> None:
    files = make_node(authority, tmp_path / "a")
    folder = tmp_path / "c"
    async with primary(files, admits(authority)) as at:
        admitted = await ask(at, token_of(authority), folder)
        again = await ask(at, token_of(authority), folder)

    assert (admitted.name, admitted.joins_as) == ("central-c", "standby")
    assert admitted.given == {"token": "of the cluster"}
    # Who asks again shows the same key.
    keep(folder, key_and_request(folder, "central-c", ["127.0.0.1"]), again)
    client_context(TlsFiles.in_directory(folder))
    assert not list(folder.glob("joining.*"))


async def test_a_server_of_another_fingerprint_is_told_nothing(
    authority: Authority, tmp_path: Path
) -> None:
    told: list[dict[str, str]] = []

    def listens(body: dict[str, str]) -> tuple[int, dict[str, object]]:
        told.append(body)
        return 200, {}

    files = make_node(authority, tmp_path / "a")
    other = replace(token_of(authority), fingerprint="ab" * 32)
    async with primary(files, listens) as at:
        with pytest.raises(RegisterError, match="not the server of that fingerprint") as error:
            await ask(at, other, tmp_path / "c")

    assert (error.value.is_final, told) == (True, [])


async def test_an_answer_with_another_authority_is_refused(
    authority: Authority, tmp_path: Path
) -> None:
    files = make_node(authority, tmp_path / "a")
    foreign = authority_in(tmp_path / "foreign")
    async with primary(files, admits(foreign)) as at:
        with pytest.raises(RegisterError, match="another authority than the token's"):
            await ask(at, token_of(authority), tmp_path / "c")


async def test_a_certificate_of_the_users_own_is_believed_itself_and_names_its_authority(
    authority: Authority, tmp_path: Path
) -> None:
    company = authority_in(tmp_path / "company")
    own = make_node(company, tmp_path / "own", "localhost")
    shown = TlsFiles(make_node(authority, tmp_path / "a").ca, own.certificate, own.key)
    token = replace(token_of(authority), fingerprint=fingerprint(own.certificate.read_bytes()))

    def answer(body: dict[str, str]) -> tuple[int, dict[str, object]]:
        status, content = admits(authority, time.time_ns() // 1_000_000)(body)
        return status, content | {"https_ca": company.certificate_pem.decode()}

    folder = tmp_path / "c"
    async with primary(shown, answer) as at:
        keep(folder, key_and_request(folder, "c", ["127.0.0.1"]), await ask(at, token, folder, "c"))
        files = TlsFiles.in_directory(folder)
        async with httpx.AsyncClient(verify=https_client_context(files), trust_env=False) as client:
            assert (await client.get(f"{at.url}/docs")).status_code == 200
        # Kafka and who shows us a certificate are believed by our authority alone.
        for context in (client_context(files), server_context(files, client_certificates="none")):
            assert context.get_ca_certs(binary_form=True) == [first_der(authority.certificate_pem)]

    # Another server of that company is not the one of the fingerprint.
    other = make_node(company, tmp_path / "other", "localhost")
    async with primary(TlsFiles(shown.ca, other.certificate, other.key), answer) as at:
        with pytest.raises(RegisterError, match="not the server of that fingerprint"):
            await ask(at, token, tmp_path / "d")


async def test_an_admission_to_another_role_is_none(authority: Authority, tmp_path: Path) -> None:
    def answer(body: dict[str, str]) -> tuple[int, dict[str, object]]:
        status, content = admits(authority)(body)
        return status, content | {"joins_as": "standby"}

    async with primary(make_node(authority, tmp_path / "a"), answer) as at:
        with pytest.raises(RegisterError, match="admitted a standby"):
            await ask(at, token_of(authority), tmp_path / "c", role="collector")


@pytest.mark.parametrize(
    ("status", "is_final"), [(403, True), (400, True), (503, False), (502, False)]
)
async def test_a_no_is_repeated_in_its_own_words(
    authority: Authority, tmp_path: Path, status: int, is_final: bool
) -> None:
    files = make_node(authority, tmp_path / "a")
    no = {"detail": "this token was used already"}
    async with primary(files, lambda body: (status, dict(no))) as at:
        with pytest.raises(RegisterError, match="used already") as error:
            await ask(at, token_of(authority), tmp_path / "c")

    assert error.value.is_final is is_final


async def test_nobody_there_is_worth_another_try(authority: Authority, tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as listener:
        nobody = Address("127.0.0.1", listener.getsockname()[1])
    with pytest.raises(RegisterError) as error:
        await ask(nobody, token_of(authority), tmp_path / "c")

    assert not error.value.is_final


def test_asked_again_for_another_host_it_is_the_same_key(tmp_path: Path) -> None:
    before, after = (
        read_request(key_and_request(tmp_path, "central-c", [host]).request_pem)
        for host in ("old.example", "c.example")
    )
    assert (before.hosts, after.hosts) == (("old.example",), ("c.example",))
    assert before.public_key == after.public_key
    forget_key(tmp_path)
    anew = read_request(key_and_request(tmp_path, "central-c", ["c.example"]).request_pem)
    assert anew.public_key != after.public_key


def test_a_request_of_another_name_is_not_signed(authority: Authority, tmp_path: Path) -> None:
    made = key_and_request(tmp_path, "central-c", ["127.0.0.1"])

    with pytest.raises(ValueError, match="of central-c, not of central-a"):
        signer(authority, lambda: 1_800_000_000_000)("central-a", made.request_pem, JoinsAs.STANDBY)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://primary.example:8443", "https://primary.example:8443"),
        ("https://primary.example", "https://primary.example:443"),
        ("primary.example", "https://primary.example:443"),
        ("https://[2001:db8::1]:8443/x", "https://[2001:db8::1]:8443"),
    ],
)
def test_where_the_primary_is_may_be_written_so(text: str, url: str) -> None:
    assert parse_primary(text).url == url


@pytest.mark.parametrize("text", ["http://primary", "https://", "https://a:b", "https://a:99999"])
def test_what_is_no_address_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"https|host"):
        parse_primary(text)

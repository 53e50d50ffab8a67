"""A service's pages by TLS."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request

from shared.http import client_name, http_server, listen
from shared.tls import ClientCertificates, TlsFiles, client_context, trusting
from tests.tls_nodes import authority_in, make_node, old_client

DEADLINE_S = 60.0


def small_app() -> FastAPI:
    app = FastAPI()

    @app.get("/")
    def who(request: Request) -> str | None:
        return client_name(request)

    return app


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    return make_node(authority_in(tmp_path / "authority"), tmp_path / "a", name="central-a")


@asynccontextmanager
async def serving(
    tls: TlsFiles | None, client_certificates: ClientCertificates = "optional"
) -> AsyncIterator[int]:
    server = http_server(small_app(), stop_s=1, tls=tls, client_certificates=client_certificates)
    with listen("127.0.0.1", 0) as listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        async with asyncio.timeout(DEADLINE_S):
            while not server.started:
                await asyncio.sleep(0.01)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await task


async def ask(port: int, context: ssl.SSLContext) -> object:
    async with httpx.AsyncClient(verify=context, trust_env=False) as client:
        return (await client.get(f"https://localhost:{port}/")).json()


async def test_a_request_knows_whose_certificate_came_with_it(files: TlsFiles) -> None:
    async with serving(files) as port:
        assert await ask(port, client_context(files)) == "central-a"
        assert await ask(port, trusting(files.ca.read_bytes())) is None


async def test_in_the_clear_nobody_is_known(files: TlsFiles) -> None:
    async with serving(None) as port, httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"http://127.0.0.1:{port}/")).json() is None


async def test_a_certificate_of_another_authority_is_refused_and_none_where_one_is_needed(
    files: TlsFiles, tmp_path: Path
) -> None:
    theirs = make_node(authority_in(tmp_path / "other"), tmp_path / "b", name="central-a")
    posing = TlsFiles(files.ca, theirs.certificate, theirs.key)

    async with serving(files) as port:
        with pytest.raises(httpx.TransportError):
            await ask(port, client_context(posing))
    async with serving(files, "required") as port:
        with pytest.raises(httpx.TransportError):
            await ask(port, trusting(files.ca.read_bytes()))
        assert await ask(port, client_context(files)) == "central-a"


async def test_plain_http_and_tls_1_1_are_refused_on_that_port(files: TlsFiles) -> None:
    async with serving(files) as port:
        async with httpx.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx.TransportError):
                await client.get(f"http://localhost:{port}/")
        with pytest.raises(httpx.TransportError):
            await ask(port, old_client(files))

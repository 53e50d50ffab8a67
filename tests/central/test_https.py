"""A central by HTTPS, as a process without a broker."""

import contextlib
import json
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from cli.ports import free_port
from shared.network import Network, write_network
from shared.tls import (
    TlsError,
    TlsFiles,
    client_context,
    fingerprint,
    https_client_context,
    pinned,
    trusting,
)
from tests.central.centrals import TOKEN
from tests.central.test_app import ended, start
from tests.tls_nodes import authority_in, make_node
from tests.waiting import wait_until


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    return make_node(authority_in(tmp_path / "authority"), tmp_path / "tls")


@contextmanager
def running(tmp_path: Path, **settings: object) -> Iterator[subprocess.Popen[str]]:
    process = start(tmp_path, http_port=0, tls_dir=tmp_path / "tls", live=False, **settings)
    try:
        yield process
        assert process.poll() is None
    finally:
        process.terminate()
        code, said = ended(process)
    assert code == 0, said
    assert "Traceback" not in said


def answers(files: TlsFiles, port: int) -> bool:
    with httpx.Client(verify=client_context(files), trust_env=False) as client:
        try:
            return client.get(f"https://localhost:{port}/health/live").status_code == 200
        except httpx.TransportError:
            return False


def test_pages_and_api_are_served_by_https_only_on_its_port(
    tmp_path: Path, files: TlsFiles
) -> None:
    port = free_port()
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(TOKEN)
    with running(tmp_path, https_host="127.0.0.1", https_port=port, token_file=token):
        wait_until(lambda: answers(files, port), "it answers by HTTPS")
        with httpx.Client(
            verify=client_context(files), base_url=f"https://localhost:{port}", trust_env=False
        ) as client:
            assert client.get("/api/v1/totals").status_code == 401
            to_login = client.get("/?theme=dark", headers={"Accept": "text/html"})
            assert to_login.headers["location"] == "/login?next=%2F%3Ftheme%3Ddark"
            assert "No password was set yet" in client.get("/login").text
            socket = client.get("/_nicegui_ws/socket.io/?EIO=4&transport=polling")
            assert socket.status_code == 401
            upgrade = {
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            }
            handshake = client.get(
                "/_nicegui_ws/socket.io/?EIO=4&transport=websocket", headers=upgrade
            )
            assert handshake.status_code == 403

            client.headers["Authorization"] = f"Bearer {TOKEN}"
            assert client.get("/api/v1/totals").json()["flows"] == 0
            page = client.get("/")
            assert page.status_code == 200
            assert page.headers["x-frame-options"] == "DENY"
            assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
            assert page.headers["cache-control"] == "no-store"
            polling = "/_nicegui_ws/socket.io/?EIO=4&transport=polling"
            for origin, status in ((f"https://localhost:{port}", 200), ("https://evil", 400)):
                answer = client.get(polling, headers={"Origin": origin})
                assert answer.status_code == status
            assert "http://" not in page.text.replace("http://www.w3.org", "")
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://localhost:{port}/health/live", trust_env=False)


def test_https_opens_moves_and_closes_while_the_central_runs(
    tmp_path: Path, files: TlsFiles
) -> None:
    file, ports = tmp_path / "network.json", [free_port(), free_port()]

    def enable(port: int, name: str = "central-a") -> None:
        write_network(file, Network("localhost", 1, {name: port}, bind="127.0.0.1"))

    with running(tmp_path, network_file=file):
        enable(ports[0], "another")
        enable(ports[0])
        wait_until(lambda: answers(files, ports[0]), "it opened")
        file.write_text(json.dumps({"host": "half"}))
        enable(ports[1])
        wait_until(lambda: answers(files, ports[1]), "it moved")
        assert not answers(files, ports[0])
        file.unlink()
        wait_until(lambda: not answers(files, ports[1]), "it closed")


def test_a_certificate_of_the_users_own_is_shown_and_invited_by(
    tmp_path: Path, files: TlsFiles
) -> None:
    own = make_node(authority_in(tmp_path / "company"), tmp_path / "own")
    port, token = free_port(), "of-the-tests"
    (tmp_path / "token").write_text(token)
    (tmp_path / "token").chmod(0o600)
    with running(
        tmp_path, https_host="127.0.0.1", https_port=port, https_certificate=own.certificate,
        https_key=own.key, url=f"https://localhost:{port}", authority_dir=tmp_path / "authority",
        token_file=tmp_path / "token",
    ):  # fmt: skip
        known = fingerprint(own.certificate.read_bytes())

        def is_shown() -> bool:
            with contextlib.suppress(TlsError):
                return pinned("localhost", port, known).is_own
            return False

        wait_until(is_shown, "it shows the certificate of the user's own")
        # A browser of that company believes it; nodes are still known by our authority.
        for context in (trusting(own.ca.read_bytes()), both(files, own)):
            with httpx.Client(verify=context, trust_env=False) as client:
                assert client.get(f"https://localhost:{port}/health/live").status_code == 200
        assert not answers(files, port)


def both(files: TlsFiles, own: TlsFiles) -> ssl.SSLContext:
    return https_client_context(files, own=own.certificate)


def test_certificates_that_cannot_be_used_are_one_sentence(tmp_path: Path) -> None:
    code, said = ended(start(tmp_path, "--check", tls_dir=tmp_path / "nowhere"))
    assert code == 2
    assert said.startswith("central: setting tls_dir: ")
    code, said = ended(start(tmp_path, "--check", https_port=0))
    assert code == 2
    assert "https_port and network_file need tls_dir" in said
    code, said = ended(start(tmp_path, "--check", https_certificate=tmp_path / "nowhere"))
    assert (code, "https_certificate needs https_key and tls_dir" in said) == (2, True)


def test_a_certificate_and_key_of_ones_own_that_do_not_fit_are_one_sentence(
    tmp_path: Path, files: TlsFiles
) -> None:
    own = make_node(authority_in(tmp_path / "company"), tmp_path / "own")

    code, said = ended(
        start(
            tmp_path, "--check", tls_dir=tmp_path / "tls", https_certificate=own.certificate,
            https_key=files.key,
        )
    )  # fmt: skip
    assert code == 2
    assert said.startswith("central: setting https_certificate: ")
    assert "do not fit together" in said

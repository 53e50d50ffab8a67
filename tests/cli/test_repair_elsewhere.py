"""`steadflow standby repair` of centrals that others reach by HTTPS alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli import running
from cli.__main__ import app
from cli.central_urls import central_urls, context_for
from cli.client import CentralAddress
from cli.proof_client import NothingToMend, ProofError
from cli.repair import why_not
from shared.plain_http import PLAIN_HTTP
from shared.tls import Authority, TlsFiles, server_context
from shared.token import make_token
from tests.cli.fake_node import FakeNode, answering
from tests.cli.test_repair import ENDED, NOTED, OUTCOME
from tests.tls_nodes import authority_in, make_node

REPAIR, PROOF, CLUSTER = "POST /api/v1/proof/repair", "GET /api/v1/proof", "GET /api/v1/cluster"
NOTHING = (409, {"detail": "nothing differs"})
NOT_FROM_HERE = "https://flows.example.invalid:8443"
"""Where others reach the centrals of this machine."""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return authority_in(tmp_path / "authority")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of a first machine or a standby: each has the token, and a certificate in `tls`."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    make_token(home / "token")
    return home


@pytest.fixture
def elsewhere(authority: Authority, tmp_path: Path) -> Iterator[FakeNode]:
    """A standby on another machine, which answers nobody without a certificate."""
    files = make_node(authority, tmp_path / "elsewhere")
    with answering(server_context(files, client_certificates="required")) as node:
        proof = {"repairs": [ENDED], "under_repair": []}
        node.answers = {REPAIR: (202, {"rows": [NOTED]}), PROOF: (200, proof)}
        yield node


@pytest.fixture
def here(elsewhere: FakeNode) -> Iterator[FakeNode]:
    """The central and the registry of this home, in one."""
    nodes = [
        {"name": "central-a", "role": "primary", "url": NOT_FROM_HERE},
        {"name": "central-b", "role": "standby", "url": NOT_FROM_HERE},
        {"name": "central-c", "role": "standby", "url": elsewhere.url},
    ]
    with answering() as node:
        node.answers = {CLUSTER: (200, {"nodes": nodes}), REPAIR: NOTHING}
        yield node


@contextmanager
def running_in(home: Path, here: FakeNode, *centrals: str) -> Iterator[None]:
    with running.hold(home):
        noted = [{"name": name, "url": here.url} for name in centrals]
        running.write(home, {"registries": [{"url": here.url}], "centrals": noted})
        yield


def repair(home: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["standby", "repair", "--home", str(home), *words])


def changes(node: FakeNode) -> list[str]:
    return [asked for asked, _, _ in node.asked if asked.startswith("POST")]


def test_from_the_first_machine_both_standbys_are_asked_and_one_is_mended(
    home: Path, here: FakeNode, elsewhere: FakeNode, authority: Authority
) -> None:
    make_node(authority, home / "tls")
    with running_in(home, here, "central-a", "central-b"):
        done = repair(home)

    assert (done.exit_code, done.stderr) == (0, ""), done.output
    assert done.stdout.startswith("central-c: ")
    assert OUTCOME in done.stdout
    assert changes(here) == changes(elsewhere) == [REPAIR]


def test_a_standbys_machine_mends_its_own_and_reaches_the_primary(
    home: Path, here: FakeNode, elsewhere: FakeNode, authority: Authority
) -> None:
    make_node(authority, home / "tls")
    roles = [("central-a", "primary", elsewhere.url), ("central-c", "standby", NOT_FROM_HERE)]
    nodes = [dict(zip(("name", "role", "url"), each, strict=True)) for each in roles]
    here.answers[CLUSTER] = (200, {"nodes": nodes})

    with running_in(home, here, "central-c"):
        own = repair(home)
        primary = repair(home, "--primary")

    assert (own.exit_code, own.stderr) == (1, "nothing differs\n")
    assert (primary.exit_code, OUTCOME in primary.stdout) == (0, True), primary.output


@pytest.mark.parametrize("has_certificate", [True, False], ids=["of another authority", "none"])
def test_without_a_certificate_of_the_system_nobody_elsewhere_is_asked(
    home: Path, here: FakeNode, elsewhere: FakeNode, tmp_path: Path, has_certificate: bool
) -> None:
    if has_certificate:
        make_node(authority_in(tmp_path / "other"), home / "tls")

    with running_in(home, here, "central-a", "central-b"):
        done = repair(home)

    assert done.exit_code == 1
    assert ("does not answer" if has_certificate else "ca.pem is missing") in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert changes(elsewhere) == []


def test_where_centrals_answer() -> None:
    nodes: list[dict[str, Any]] = [
        {"name": "central-a", "url": NOT_FROM_HERE},
        {"name": "central-b", "url": ""},
        {"name": "central-c", "url": "https://c:8443"},
    ]
    noted = [CentralAddress("central-a", "http://127.0.0.1:8470")]

    assert central_urls(nodes, noted) == {
        "central-a": "http://127.0.0.1:8470",
        "central-c": "https://c:8443",
    }
    assert central_urls(nodes, [])["central-a"] == NOT_FROM_HERE


def test_a_certificate_is_read_where_somebody_answers_by_https(
    tmp_path: Path, authority: Authority
) -> None:
    assert context_for(tmp_path, ["http://127.0.0.1:8470"]) is PLAIN_HTTP
    files = make_node(authority, tmp_path / "tls")
    assert files == TlsFiles.in_directory(tmp_path / "tls")
    assert context_for(tmp_path, ["http://127.0.0.1:8470", "https://c:8443"]) is not PLAIN_HTTP


def test_what_went_wrong_is_one_sentence() -> None:
    nothing, away = NothingToMend("nothing differs"), ProofError("c does not answer")

    assert why_not({}, is_mended=False) == ""
    assert why_not({"b": nothing, "c": nothing}, is_mended=False) == "nothing differs"
    assert why_not({"b": nothing}, is_mended=True) == ""
    assert why_not({"b": nothing, "c": away}, is_mended=True) == "c does not answer"
    assert why_not({"b": nothing, "c": away}, is_mended=False) == (
        "b: nothing differs; c: c does not answer"
    )

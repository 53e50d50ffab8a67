"""A home is one command's: another one refuses it, and nothing is written or asked."""

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli import running
from cli.home_owner import Owner, check_owner, owner_of
from cli.invite_file import invite_file, keep_token
from cli.network import NODE, prepare_tls
from cli.running import HomeError
from shared.token import make_token
from tests.cli.test_up import sentence, steadflow
from tests.shared.test_register import token_of
from tests.tls_nodes import authority_in

OF_A_STANDBY = json.dumps({"brokers": "a:19094", "centrals": ["https://a:8443"]})
OF_A_GUEST = json.dumps({"name": "witness-1", "brokers": "a:19094", "kafka": None})


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return home


@pytest.fixture
def token(tmp_path: Path) -> str:
    return str(token_of(authority_in(tmp_path / "authority")))


def make_system(home: Path) -> None:
    """Do what `up` does before anything starts."""
    make_token(home / "token")
    prepare_tls(home)


def make_standby(home: Path) -> None:
    make_system(home)
    (home / "given.json").write_text(OF_A_STANDBY)


def contents(home: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}


@contextmanager
def primary() -> Iterator[str]:
    """Yield the address of one that must not be asked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def join(home: Path, token: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run the line of an invite, of which the primary must not hear."""
    with primary() as url:
        return steadflow("standby", "join", url, "--token", token, "--home", str(home), *words)


@pytest.mark.parametrize(
    ("files", "owner"),
    [
        ({}, Owner.NOBODY),
        # A join that was not admitted, and whatever lies about.
        ({"standby.json": "{}", "join.json": "{}", "invite": "", "tls/joining.key": ""},
         Owner.NOBODY),
        ({"token": ""}, Owner.SYSTEM),
        ({"tls/ca.key": ""}, Owner.SYSTEM),
        # A join was refused in the home of a system.
        ({"token": "", "tls/ca.key": "", "standby.json": "{}", "join.json": "{}"}, Owner.SYSTEM),
        ({"given.json": OF_A_STANDBY}, Owner.STANDBY),
        ({"given.json": OF_A_STANDBY, "token": "", "tls/ca.key": ""}, Owner.STANDBY),
        ({"given.json": "{", "token": "", "tls/ca.key": ""}, Owner.STANDBY),
        ({"given.json": OF_A_GUEST}, Owner.GUEST),
        # `up` failed there, once it had made a token.
        ({"given.json": OF_A_GUEST, "token": ""}, Owner.GUEST),
        ({"given.json": "3"}, Owner.GUEST),
    ],
)  # fmt: skip
def test_what_lies_in_a_home_tells_whose_it_is(
    home: Path, files: dict[str, str], owner: Owner
) -> None:
    for name, text in files.items():
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text(text)

    assert owner_of(home) is owner
    check_owner(home, owner)
    if owner is not Owner.NOBODY:
        with pytest.raises(HomeError, match=r"belongs to .* choose another folder with --home"):
            check_owner(home)


def test_where_nothing_is_everybody_may_begin(tmp_path: Path) -> None:
    check_owner(tmp_path / "not made yet")
    assert not (tmp_path / "not made yet").exists()


def test_a_home_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="cannot be read: File name too long"):
        check_owner(tmp_path / ("x" * 300))


@pytest.mark.parametrize("words", [(), ("--detach",)])
def test_no_standby_takes_the_home_of_a_system(
    home: Path, token: str, words: tuple[str, ...]
) -> None:
    make_system(home)
    before = contents(home)

    said = sentence(join(home, token, *words))

    assert said == (
        f"{home} belongs to the system of `steadflow up`: choose another folder with --home"
    )
    assert contents(home) == before


def test_no_standby_takes_the_home_of_a_collector_or_witness(home: Path, token: str) -> None:
    (home / "given.json").write_text(OF_A_GUEST)

    assert "belongs to a collector or a witness" in sentence(join(home, token))

    assert contents(home) == {home / "given.json": OF_A_GUEST.encode()}


def test_the_running_primary_does_not_join_itself(home: Path, token: str) -> None:
    make_system(home)
    with running.hold(home):
        before = contents(home)

        assert "belongs to the system of `steadflow up`" in sentence(join(home, token))

        assert contents(home) == before


@pytest.mark.parametrize("words", [(), ("--detach",)])
def test_where_a_standby_runs_another_token_is_not_kept(
    home: Path, token: str, words: tuple[str, ...]
) -> None:
    make_standby(home)
    with running.hold(home):
        before = contents(home)

        assert "runs in" in sentence(join(home, token, *words))

        assert contents(home) == before
    # Nobody runs there: the token is kept until the primary was asked.
    keep_token(home, token)
    assert invite_file(home).read_text().strip() == token


@pytest.mark.parametrize("words", [(), ("--detach",)])
def test_a_machine_that_joined_keeps_its_name_and_needs_no_token(
    home: Path, token: str, words: tuple[str, ...]
) -> None:
    make_standby(home)
    before = contents(home)

    said = sentence(join(home, token, "--name", "central-d", *words))

    assert said == f"this machine joined as {NODE}: another name needs another --home"
    assert contents(home) == before


@pytest.mark.parametrize("words", [(), ("--detach",)])
@pytest.mark.parametrize(
    ("given", "whose"), [(OF_A_STANDBY, "a standby"), (OF_A_GUEST, "a collector or a witness")]
)
def test_up_takes_no_home_of_a_machine_that_joined(
    home: Path, given: str, whose: str, words: tuple[str, ...]
) -> None:
    (home / "given.json").write_text(given)
    before = contents(home)

    said = sentence(steadflow("up", "--home", str(home), "--no-traffic", "--no-browser", *words))

    assert whose in said
    assert contents(home) == before

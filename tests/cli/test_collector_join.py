"""A machine becomes a collector once, or stays as it was."""

import asyncio
import json
import socket
from pathlib import Path

import pytest

from cli.admission import Admission, JoinRefused, admission_of, admit, own_hosts
from cli.invite_file import invite_file, keep_token, without_token
from cli.joined_collector import all_addresses
from shared.http import listen
from shared.invite_token import InviteTokenError
from shared.register import Address
from shared.tls import Authority, TlsFiles, client_context
from tests.shared.test_register import Answer, admits, primary, token_of
from tests.tls_nodes import authority_in, make_node

NAME = "collector-2"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return authority_in(tmp_path / "authority")


def gives(authority: Authority) -> Answer:
    def answer(body: dict[str, str]) -> tuple[int, dict[str, object]]:
        status, content = admits(authority)(body)
        return status, content | {"brokers": "flows.example:19094"}

    return answer


def files_of(home: Path) -> set[str]:
    return {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}


async def test_it_is_admitted_once_and_needs_no_token_afterwards(
    authority: Authority, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    keep_token(home, str(token_of(authority)))
    assert invite_file(home).stat().st_mode & 0o777 == 0o600
    assert admission_of(home) is None

    async with primary(make_node(authority, tmp_path / "a"), gives(authority)) as at:
        given = await asyncio.to_thread(admit, home, at, NAME, own_hosts())

    assert given == admission_of(home) == Admission(NAME, "flows.example:19094")
    client_context(TlsFiles.in_directory(home / "tls"))
    # Neither the invite, nor what the primary should not have told a collector.
    assert files_of(home) == {"given.json", "tls/ca.pem", "tls/node.pem", "tls/node.key"}
    assert "of the cluster" not in (home / "given.json").read_text()


async def test_refused_for_good_the_machine_is_as_before(
    authority: Authority, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    keep_token(home, str(token_of(authority)))
    no = {"detail": "this token invites a standby, not a collector"}

    async with primary(make_node(authority, tmp_path / "a"), lambda body: (403, dict(no))) as at:
        with pytest.raises(JoinRefused, match="invites a standby, not a collector"):
            await asyncio.to_thread(admit, home, at, NAME, own_hosts())

    assert files_of(home) == set()


async def test_while_nobody_answers_the_token_is_kept_and_another_name_may_be_chosen(
    authority: Authority, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    keep_token(home, str(token_of(authority)))
    with listen("127.0.0.1", 0) as listener:
        nobody = Address("127.0.0.1", listener.getsockname()[1])
    with pytest.raises(JoinRefused, match="the token is kept"):
        await asyncio.to_thread(admit, home, nobody, "first-name", own_hosts())

    async with primary(make_node(authority, tmp_path / "a"), gives(authority)) as at:
        given = await asyncio.to_thread(admit, home, at, NAME, own_hosts())

    assert given.name == NAME


def test_without_a_token_it_says_where_one_comes_from(tmp_path: Path) -> None:
    with pytest.raises(JoinRefused, match="steadflow collector invite"):
        admit(tmp_path, Address("127.0.0.1", 1), NAME, own_hosts())


@pytest.mark.parametrize("of_another", ["join.json", "tls/ca.key"])
def test_the_home_of_a_central_is_left_alone(tmp_path: Path, of_another: str) -> None:
    (tmp_path / of_another).parent.mkdir(exist_ok=True)
    (tmp_path / of_another).write_text("")

    with pytest.raises(JoinRefused, match="belongs to a central"):
        admission_of(tmp_path)


def test_what_was_given_and_is_damaged_is_said(tmp_path: Path) -> None:
    make_node(authority_in(tmp_path / "authority"), tmp_path / "tls")
    (tmp_path / "given.json").write_text(json.dumps({"name": NAME}))

    with pytest.raises(JoinRefused, match="join anew"):
        admission_of(tmp_path)


def test_half_a_token_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(InviteTokenError):
        keep_token(tmp_path / "home", "sf1.half")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("given", [["--token", "sf1.x"], ["--token=sf1.x"]])
def test_a_token_is_left_out_of_a_command_line(given: list[str]) -> None:
    assert without_token(["join", *given, "--detach"]) == ["join", "--detach"]


def test_a_datagram_to_any_address_arrives() -> None:
    address = all_addresses()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as receiver:
        if family == socket.AF_INET6:
            receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        receiver.bind((address, 0))
        receiver.settimeout(20)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"flow", ("127.0.0.1", receiver.getsockname()[1]))
        assert receiver.recv(10) == b"flow"

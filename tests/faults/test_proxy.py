"""The proxy cuts one direction and not the other, and loses nothing."""

import socket
import threading
from collections.abc import Iterator

import pytest

from cli.ports import free_port
from tests.faults.proxy import HOST, Direction, Proxy, proxy


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(10)
        yield listener


@pytest.fixture
def between(server: socket.socket) -> Iterator[Proxy]:
    with proxy(free_port(), server.getsockname()[1]) as made:
        yield made


def test_a_cut_direction_holds_back_and_delivers_once_it_healed(
    server: socket.socket, between: Proxy
) -> None:
    with (
        socket.create_connection((HOST, between.port), 10) as client,
        server.accept()[0] as served,
    ):
        served.settimeout(10)
        client.sendall(b"one")
        assert served.recv(9) == b"one"

        between.cut(Direction.TO_SERVER)
        client.sendall(b"two")
        served.sendall(b"back")
        assert client.recv(9) == b"back"
        served.settimeout(0.3)
        with pytest.raises(TimeoutError):
            served.recv(9)

        served.settimeout(10)
        between.cut()
        assert served.recv(9) == b"two"


def test_an_end_that_closes_is_told_to_the_other(server: socket.socket, between: Proxy) -> None:
    client = socket.create_connection((HOST, between.port), 10)
    with server.accept()[0] as served:
        served.settimeout(10)
        client.close()
        assert served.recv(9) == b""


def test_nothing_is_left_when_it_ends(server: socket.socket) -> None:
    before = threading.active_count()
    port = free_port()
    with (
        proxy(port, server.getsockname()[1]),
        socket.create_connection((HOST, port), 10),
        server.accept()[0],
    ):
        pass
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port), 10)

"""The kernel gives each exporter to one worker, by its address alone."""

import socket

import pytest

from services.ingest.receive.reuseport import (
    PortTaken,
    ask_receive_buffer,
    kernel_drops,
    open_sockets,
    receive_queue_bytes,
    socket_cookie,
    worker_of,
)
from shared.addresses import pack_address

DEADLINE_S = 10


def received_by(sockets: list[socket.socket], count: int) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    for worker, sock in enumerate(sockets):
        sock.setblocking(False)
        while True:
            try:
                payload = sock.recv(100)
            except BlockingIOError:
                break
            assert found.setdefault(payload, worker) == worker
    assert len(found) == count
    return found


def test_thirty_exporters_meet_their_worker_from_every_port() -> None:
    sockets = open_sockets("127.0.0.1", 0, 3)
    exporters = [f"127.0.7.{host}" for host in range(1, 31)]
    for _ in range(4):
        for exporter in exporters:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.bind((exporter, 0))
                sender.sendto(exporter.encode(), sockets[0].getsockname())
    found = received_by(sockets, 30)
    expected = {x.encode(): worker_of(pack_address(x), 3) for x in exporters}
    assert found == expected
    assert set(found.values()) == {0, 1, 2}
    for sock in sockets:
        sock.close()


def test_both_versions_of_ip_are_told_apart_on_one_socket() -> None:
    sockets = open_sockets("::", 0, 3)
    port = sockets[0].getsockname()[1]
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"six", ("::1", port))
    for host in range(1, 7):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind((f"127.0.0.{host}", 0))
            sender.sendto(b"four %d" % host, ("127.0.0.1", port))
    found = received_by(sockets, 7)
    assert found[b"six"] == worker_of(pack_address("::1"), 3)
    for host in range(1, 7):
        assert found[b"four %d" % host] == worker_of(pack_address(f"127.0.0.{host}"), 3)
    for sock in sockets:
        sock.close()


@pytest.mark.parametrize("workers", [1, 3])
def test_a_taken_port_is_named(workers: int) -> None:
    for others in (1, 2):
        sockets = open_sockets("127.0.0.1", 0, others)
        port = sockets[0].getsockname()[1]
        with pytest.raises(PortTaken, match=f"UDP port {port} on 127.0.0.1 is taken"):
            open_sockets("127.0.0.1", port, workers)
        for sock in sockets:
            sock.close()


def test_a_buffer_that_is_full_counts_what_it_drops() -> None:
    (sock,) = open_sockets("127.0.0.1", 0, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(50):
            sender.sendto(bytes(1_000), sock.getsockname())
    drops = kernel_drops(sock)
    sock.setblocking(False)
    kept = 0
    while True:
        try:
            sock.recv(2_000)
        except BlockingIOError:
            break
        kept += 1
    assert kept + drops == 50
    assert drops > 0
    with sock.dup() as same:
        assert socket_cookie(sock) == socket_cookie(same) != 0
    sock.close()


def test_a_small_receive_buffer_is_always_given() -> None:
    (sock,) = open_sockets("127.0.0.1", 0, 1)
    assert ask_receive_buffer(sock, 100_000) == 100_000
    sock.close()


def test_what_nobody_read_yet_takes_a_part_of_the_buffer() -> None:
    (sock,) = open_sockets("127.0.0.1", 0, 1)
    given = ask_receive_buffer(sock, 1 << 18)
    assert receive_queue_bytes(sock) == 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(10):
            sender.sendto(bytes(1_400), sock.getsockname())

    assert 14_000 / 2 <= receive_queue_bytes(sock) <= given

    for _ in range(10):
        sock.recv(2_000)
    assert receive_queue_bytes(sock) == 0
    sock.close()

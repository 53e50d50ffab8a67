"""Places: apart, reached from each other, cut off and back, and far away."""

import secrets
import socket
import time
from threading import Thread

import pytest

from tests.faults.places import Place, network_of
from tests.waiting import wait_until


def reaches(here: Place, there: Place, port: int) -> bool:
    """Whether a connection comes about."""
    with here.inside():
        try:
            socket.create_connection((there.host, port), timeout=1).close()
        except OSError:
            return False
    return True


def test_who_is_cut_off_hears_nobody_until_it_is_back() -> None:
    with network_of(2) as network:
        one, two = network.places
        with one.inside():
            listening = socket.create_server((one.bind, 0))
        with listening:
            port = listening.getsockname()[1]
            assert reaches(two, one, port)
            if not network.can_cut:
                with pytest.raises(AssertionError, match="are one"), network.cut_off(one):
                    pass
                return
            # Not by this machine's own network.
            assert not reaches(Place("127.0.0.1", ""), Place("127.0.0.1", ""), port)
            for cut in (one, two):
                with network.cut_off(cut):
                    assert not reaches(two, one, port)
                    assert reaches(one, one, port)
                # The kernel takes a moment to see that the link is up.
                wait_until(lambda: reaches(two, one, port), "it is back", 30)


def send_all(going: socket.socket, sent: bytes) -> None:
    going.sendall(sent)
    going.close()


def test_what_goes_far_arrives_whole_and_later() -> None:
    one_way_s, sent = 0.02, secrets.token_bytes(1_000_000)
    with network_of(2, {1: one_way_s * 1000}) as network:
        near, far = network.places
        if not network.can_cut:
            pytest.skip("no network of its own can be made here")
        with near.inside():
            listening = socket.create_server((near.bind, 0))
        with listening:
            began_s = time.monotonic()
            with far.inside():
                going = socket.create_connection((near.host, listening.getsockname()[1]), 30)
            assert time.monotonic() - began_s >= 2 * one_way_s
            coming, _ = listening.accept()
            with going, coming:
                coming.settimeout(30)
                sender = Thread(target=send_all, args=(going, sent))
                sender.start()
                received = bytearray()
                while part := coming.recv(65_536):
                    received += part
                sender.join()
            assert received == sent
            with network.cut_off(far):
                assert not reaches(far, near, listening.getsockname()[1])

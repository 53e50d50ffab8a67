"""Places: apart, reached from each other, cut off and back."""

import socket

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

"""Which addresses are this machine's."""

import socket

import pytest

from shared.addresses import is_loopback, plain_address
from shared.own_address import is_here


def test_one_address_has_one_spelling() -> None:
    assert plain_address("::ffff:10.0.0.7") == plain_address("10.0.0.7") == "10.0.0.7"
    assert plain_address("FD00:0::7") == "fd00::7"
    assert plain_address("b.example") == "b.example"


@pytest.mark.parametrize(
    ("address", "is_it"),
    [
        ("127.0.0.1", True), ("127.0.1.1", True), ("::ffff:127.0.0.1", True), ("::1", True),
        ("10.0.0.7", False), ("fd00::7", False), ("localhost", False),
    ],
)  # fmt: skip
def test_loopback_is_told_from_others(address: str, is_it: bool) -> None:
    assert is_loopback(address) is is_it


def test_another_machines_address_is_not_here() -> None:
    # Of the ranges that are kept for documentation: nobody has one.
    assert [is_here(each) for each in ("192.0.2.1", "2001:db8::1", "0.0.0.0")] == [False] * 3
    assert [is_here(each) for each in ("127.0.0.1", "127.9.9.9", "::1")] == [True] * 3


def test_the_address_from_which_this_machine_asks_is_here() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no way to other ones")
        assert is_here(probe.getsockname()[0])

"""Whether an IP address is one of this machine's."""

import socket
from typing import Final

from shared.addresses import is_loopback, plain_address

_ANY_PORT: Final = 9


def is_here(address: str) -> bool:
    """Whether it leads to this machine. Nothing is sent."""
    if is_loopback(address):
        return True
    there = plain_address(address)
    family = socket.AF_INET6 if ":" in there else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # With `ip_nonlocal_bind` any address can be bound; but only the way to oneself begins
            # where it ends.
            probe.connect((there, _ANY_PORT))
            return plain_address(probe.getsockname()[0]) == there
    except OSError:
        return False

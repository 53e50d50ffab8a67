"""UDP to a collector, each exporter from an address of its own: the sockets and the target."""

import ipaddress
import resource
import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from shared.host_port import host_port

EXPORTERS_MAX = 2000


class TargetError(ValueError):
    """A target that cannot be sent to; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where datagrams go: an address and a UDP port."""

    address: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """True for 127.0.0.0/8, where every exporter can have an address of its own."""
        address = ipaddress.ip_address(self.address)
        return address.version == 4 and address.is_loopback

    def __str__(self) -> str:
        """Return `HOST:PORT`."""
        return host_port(self.address, self.port)


def parse_target(text: str) -> Target:
    """Return the target of `HOST:PORT` or `[IPv6]:PORT`. Raises TargetError."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit():
        raise TargetError(f"--to {text}: give HOST:PORT, for example 127.0.0.1:2055.")
    if not 1 <= int(port) <= 65535:
        raise TargetError(f"--to {text}: a UDP port is between 1 and 65535.")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
    except OSError as error:
        raise TargetError(f"--to {text}: the host is not known ({error.strerror}).") from error
    # IPv4 first: "localhost" is often both, and the collector listens on 127.0.0.1.
    addresses = sorted((entry[0] == socket.AF_INET6, str(entry[4][0])) for entry in found)
    return Target(addresses[0][1], int(port))


def loopback_address(number: int, *, first: str) -> str:
    """Return the address `number` (from 0) after `first`. Raises TargetError outside loopback."""
    try:
        address = ipaddress.IPv4Address(first) + number
    except ValueError as error:
        raise TargetError(f"{first} is no loopback address with enough above it.") from error
    if not address.is_loopback:
        raise TargetError(f"{first} is no loopback address with enough above it.")
    return str(address)


class Senders:
    """One UDP socket per source address, opened at its first datagram.

    The sockets are not connected: a connected one would fail with "connection refused" while no
    collector listens, and a router knows nothing of that either.
    """

    def __init__(self, target: Target) -> None:
        """Take the target; no socket is opened yet."""
        self._target = (target.address, target.port)
        self._family = socket.AF_INET6 if ":" in target.address else socket.AF_INET
        self._sockets: dict[str, socket.socket] = {}
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = EXPORTERS_MAX + 200
        if soft != resource.RLIM_INFINITY and soft < wanted:
            most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))

    def send(self, payload: bytes, *, source: str) -> None:
        """Send one datagram from `source` ("" for whatever address the system picks).

        Raises TargetError when the address cannot be used or the target not be reached.
        """
        try:
            self._socket(source).sendto(payload, self._target)
        except OSError as error:
            where = f" from {source}" if source else ""
            raise TargetError(
                f"Cannot send to {self._target[0]}:{self._target[1]}{where}: {error.strerror}."
            ) from error

    def _socket(self, source: str) -> socket.socket:
        found = self._sockets.get(source)
        if found is None:
            found = socket.socket(self._family, socket.SOCK_DGRAM)
            self._sockets[source] = found
            if source:
                found.bind((source, 0))
        return found

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all sockets."""
        for each in self._sockets.values():
            each.close()

"""TCP and UDP ports: whether one can be had, and one that is free."""

import errno
import random
import socket

# Linux takes outgoing ports from 32768 on (ip_local_port_range).
_BELOW_EPHEMERAL = (20_000, 32_000)
_TRIES = 200


class PortTaken(Exception):
    """Nothing can listen there, mostly since another program does; the text is one sentence."""


def check_port(host: str, port: int, *, option: str, udp: bool = False) -> None:
    """Raise PortTaken, naming `option` as the way out, when `port` of `host` cannot be bound."""
    kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    name = "UDP" if udp else "TCP"
    with socket.socket(family, kind) as probe:
        if not udp:
            # What a service that ended a moment ago left in TIME_WAIT is no other program.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError as error:
            raise PortTaken(
                f"{name} port {port} needs more rights than this user has: choose another "
                f"with {option}"
            ) from error
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise PortTaken(
                    f"nothing can listen on {host}, {name} port {port}: {error.strerror or error}"
                ) from error
            raise PortTaken(
                f"{name} port {port} of {host} is taken: choose another with {option}, or stop "
                "the program that uses it"
            ) from error


def free_port(host: str = "127.0.0.1", *, row: int = 1) -> int:
    """Return the first of `row` TCP ports in a row of `host` that nobody listens on now.

    Not one that the kernel gives to outgoing connections: a service that ends and starts again
    on its port would find it taken by one of those. Raises PortTaken when there is none.
    """
    for _ in range(_TRIES):
        first = random.randrange(*_BELOW_EPHEMERAL)
        try:
            for port in range(first, first + row):
                check_port(host, port, option="another port")
        except PortTaken:
            continue
        return first
    raise PortTaken(f"no {row} TCP ports in a row are free on {host}")


def free_udp_port(host: str = "127.0.0.1") -> int:
    """Return a UDP port of `host` that nobody holds now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port

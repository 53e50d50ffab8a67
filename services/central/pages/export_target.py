"""Where routers shall send to: host and port as people, and configurations, write them."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from shared.host_port import host_port

DEFAULT_PORT: Final = 2055
UNKNOWN_HOST: Final = "COLLECTOR-ADDRESS"
"""Stands in a configuration where nobody said an address that makes sense there."""

_HOST_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
    r"(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?"
)


@dataclass(frozen=True, slots=True)
class ExportTarget:
    """A collector's address; `host` is an IP address, a host name or UNKNOWN_HOST, never more."""

    host: str
    port: int

    @property
    def text(self) -> str:
        """`host:port`, an IPv6 address in brackets."""
        return host_port(self.host, self.port)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        if self.host.lower().rstrip(".") == "localhost":
            return True
        address = _address(self.host)
        return address is not None and address.is_loopback


def export_target(configured: str, browsed: str) -> ExportTarget:
    """Return where to send to.

    configured: `host:port`, or `:port` for whatever host the browser used. browsed: the Host
    header, which anybody may write: what is no address and no name in it is not shown.
    """
    host, port = _split(configured)
    if host is None:
        host, _ = _split(browsed)
    return ExportTarget(host or UNKNOWN_HOST, port or DEFAULT_PORT)


def _split(text: str) -> tuple[str | None, int | None]:
    text = text.strip()
    bare = _address(text)
    if bare is not None:
        return str(bare), None
    host, colon, digits = text.rpartition(":")
    if not colon:
        host, digits = text, ""
    port = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 6 else 0
    address = _address(host.removeprefix("[").removesuffix("]"))
    name = str(address) if address is not None else host if _is_name(host) else None
    return name, port if 0 < port < 65_536 else None


def _is_name(text: str) -> bool:
    # A number at the end would be an address, and a wrong one (RFC 3696 section 2).
    last = text.rstrip(".").rpartition(".")[2]
    return _HOST_NAME.fullmatch(text) is not None and not last.isdigit()


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # `0.0.0.0` and `::` are where a collector listens, not where one sends to.
    return None if address.is_unspecified else address

"""Addresses as the flow record keeps them, 16 bytes, IPv4 as `::ffff:a.b.c.d`; and as text."""

import ipaddress

V4_PREFIX = b"\0" * 10 + b"\xff\xff"
UNSPECIFIED = b"\0" * 16


def pack_address(text: str) -> bytes:
    """Return the 16 bytes of an address in text; ValueError when it is neither IPv4 nor IPv6."""
    address = ipaddress.ip_address(text.partition("%")[0])
    return address.packed if address.version == 6 else V4_PREFIX + address.packed


def format_address(packed: bytes) -> str:
    """Return the text of 16 address bytes; an IPv4-mapped one is shown as plain IPv4."""
    if packed[:12] == V4_PREFIX:
        return str(ipaddress.IPv4Address(packed[12:]))
    return str(ipaddress.IPv6Address(packed))


def plain_address(text: str) -> str:
    """Return an address in the one spelling in which it is compared; what is none as it is."""
    try:
        return format_address(pack_address(text))
    except ValueError:
        return text


def is_loopback(text: str) -> bool:
    """Whether it is an address that leads every machine to itself."""
    try:
        return ipaddress.ip_address(plain_address(text)).is_loopback
    except ValueError:
        return False

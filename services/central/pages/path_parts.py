"""What a page's path names: addresses and interface numbers, as anybody may type them; pure."""

import ipaddress

from shared.addresses import format_address, pack_address

INDEX_MAX = 2**32 - 1


def read_address(text: str) -> str | None:
    """Return an address as reports write it; None when it is none.

    A mapped `::ffff:10.0.0.1` is `10.0.0.1`. An address with a zone means something on one machine
    only.
    """
    if "%" in text or len(text) > 64:
        return None
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return None
    return format_address(pack_address(text))


def read_index(text: str) -> int | None:
    """Return an ifIndex; None when it is none."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        return None
    index = int(text)
    return index if index <= INDEX_MAX else None

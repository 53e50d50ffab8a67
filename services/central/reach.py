"""Whether ports of another machine can be connected to from here, and its name leads there."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from shared.addresses import plain_address
from shared.host_port import host_port
from shared.own_address import is_here

REACH_TIMEOUT_S: Final = 5.0
ADDRESSES_MAX: Final = 16


async def unreached(host: str, port: int) -> str:
    """Return why not, in a sentence; empty when it can."""
    try:
        async with asyncio.timeout(REACH_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
    except TimeoutError:
        return f"{host_port(host, port)} does not answer within {REACH_TIMEOUT_S:g} s"
    except OSError as error:
        return f"{host_port(host, port)}: {error.strerror or error}"
    return ""


async def addresses_of(host: str) -> tuple[str, ...]:
    """Return the addresses that a name has here, in the order in which they are tried."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(REACH_TIMEOUT_S):
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, ValueError):
        return ()
    return tuple(dict.fromkeys(plain_address(str(each[4][0])) for each in found))[:ADDRESSES_MAX]


class Seen(NamedTuple):
    """How a machine that asks is seen from here. problems: what cannot be reached, in sentences.

    addresses: those that its name has here, None where it named none. is_tried: whether one of
    them was connected to.
    """

    problems: tuple[str, ...]
    addresses: tuple[str, ...] | None = None
    is_tried: bool = False


async def seen(
    asks_from: str,
    ports: Sequence[int],
    host: str = "",
    *,
    resolve: Callable[[str], Awaitable[tuple[str, ...]]] = addresses_of,
    connect: Callable[[str, int], Awaitable[str]] = unreached,
    is_own: Callable[[str], bool] = is_here,
) -> Seen:
    """Try the ports of the machine that asks. host: under which it will be known.

    is_own: whether an address is one of this machine's.
    """
    source = plain_address(asks_from)
    addresses = await resolve(host) if host else None
    # Nobody else is tried, whatever the name leads to: this is no scanner for others. What asks
    # from this machine itself may be known under each of its addresses.
    is_local = is_own(source)
    same = [each for each in addresses or () if each == source or (is_local and is_own(each))]
    places = [[asks_from]] if source in same or not same else [[asks_from], same]

    async def problem(place: Sequence[str], port: int) -> str:
        found = await asyncio.gather(*(connect(address, port) for address in place))
        # Of several addresses one that answers is enough, as for whoever connects to the name.
        return found[0] if all(found) else ""

    tried = await asyncio.gather(*(problem(place, port) for place in places for port in ports))
    problems = tuple(dict.fromkeys(filter(None, tried)))
    return Seen(problems, addresses, bool(same))

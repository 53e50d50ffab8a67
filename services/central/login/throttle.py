"""How long who failed to log in has to wait; pure: times are given, none is read.

By address, so that nobody tries a list of passwords; and by account, so that many addresses do not
either. Who logged in from an address before waits for that address's own failures alone: nobody
can lock an administrator out by failing in his name.
"""

from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final

ADDRESS_FREE: Final = 5
ADDRESS_WAIT_MAX_S: Final = 300.0
ACCOUNT_FREE: Final = 20
ACCOUNT_WAIT_MAX_S: Final = 30.0
FORGET_S: Final = 900.0
KEPT_MAX: Final = 10_000


@dataclass(slots=True)
class _Failures:
    count: int
    last_s: float


class Throttle:
    """Failures since a while, bounded."""

    def __init__(self, *, kept_max: int = KEPT_MAX) -> None:
        """Begin without any. kept_max: addresses and accounts that are remembered."""
        self._kept_max = kept_max
        self._by_address: OrderedDict[str, _Failures] = OrderedDict()
        self._by_account: OrderedDict[str, _Failures] = OrderedDict()
        self._succeeded: OrderedDict[tuple[str, str], None] = OrderedDict()

    def wait_s(self, address: str, account: str, now_s: float) -> float:
        """Return how long it is until the next try may be made; 0 for now."""
        place = _network(address)
        waits = [_wait_s(self._by_address.get(place), ADDRESS_FREE, ADDRESS_WAIT_MAX_S, now_s)]
        if (place, account) not in self._succeeded:
            failures = self._by_account.get(account)
            waits.append(_wait_s(failures, ACCOUNT_FREE, ACCOUNT_WAIT_MAX_S, now_s))
        return max(waits)

    def failed(self, address: str, account: str, now_s: float) -> None:
        """Note a try that failed."""
        self._note(self._by_address, _network(address), now_s)
        self._note(self._by_account, account, now_s)

    def succeeded(self, address: str, account: str) -> None:
        """Note a login: what failed before from there is forgiven."""
        place = _network(address)
        self._by_address.pop(place, None)
        if (failures := self._by_account.get(account)) is not None:
            failures.count -= 1
        self._succeeded[place, account] = None
        self._succeeded.move_to_end((place, account))
        if len(self._succeeded) > self._kept_max:
            self._succeeded.popitem(last=False)

    def _note(self, kept: OrderedDict[str, _Failures], name: str, now_s: float) -> None:
        found = kept.get(name)
        is_forgotten = found is None or now_s - found.last_s > FORGET_S
        kept[name] = _Failures(1 if is_forgotten or found is None else found.count + 1, now_s)
        kept.move_to_end(name)
        if len(kept) > self._kept_max:
            kept.popitem(last=False)


def _wait_s(failures: _Failures | None, free: int, wait_max_s: float, now_s: float) -> float:
    if failures is None or failures.count < free or now_s - failures.last_s > FORGET_S:
        return 0.0
    owed_s = min(2.0 ** min(failures.count - free, 16), wait_max_s)
    return max(0.0, failures.last_s + owed_s - now_s)


def _network(address: str) -> str:
    """Return what one caller has: an IPv4 address, or the 64 bits that one IPv6 network is."""
    try:
        read = ip_address(address)
    except ValueError:
        return address[:100]
    if isinstance(read, IPv6Address):
        mapped = read.ipv4_mapped
        return str(mapped) if mapped is not None else read.exploded[:19]
    return str(read)

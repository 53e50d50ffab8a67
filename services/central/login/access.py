"""What a request needs, and what each kind of caller may; pure.

Whatever is not named here needs the most that its method can: a new route is closed from its first
day, also one that forgets to ask.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from ipaddress import ip_address
from typing import Final


class Need(IntEnum):
    """What a caller must be, each more than the one before.

    READ is open to everybody where reading is open; KNOWN is not.
    """

    NOTHING = 0
    READ = 1
    KNOWN = 2
    CHANGE = 3
    OWN = 4


class Kind(Enum):
    """How a caller showed who it is."""

    NOBODY = "nobody"
    TOKEN = "token"
    ACCOUNT = "account"
    SYSTEM = "system"
    INVITE = "invite"


class Scope(Enum):
    """What an API token may."""

    READ = "read"
    CHANGE = "change"


@dataclass(frozen=True, slots=True)
class Who:
    """A caller. may: the most it may do. address: where it asks from.

    session: id of its session. by_cookie: whether a browser sent it along without being told to.
    """

    kind: Kind = Kind.NOBODY
    name: str = ""
    may: Need = Need.NOTHING
    address: str = ""
    session: str = ""
    by_cookie: bool = False

    def __str__(self) -> str:
        """Return it for a record: `account admin`."""
        return f"{self.kind.value} {self.name}".strip()


READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN_TO_READ: Final = ("/health/live", "/health/ready", "/primary", "/login", "/favicon.ico")
_OPEN_TO_POST: Final = ("/login", "/logout", "/api/v1/join", "/api/v1/join/preview")
"""Whoever joins shows the token of an invite; who has no session any more is logged out."""
_ASSETS: Final = ("/_steadflow/", "/download")
"""Ours, and the same for everybody: styles, scripts, the release itself."""
_PAGE_SOCKET: Final = "/_nicegui_ws/"
"""The connection of a page; it changes nothing, whatever its method."""
_KNOWN: Final = ("/api/v1/audit",)
_OWN: Final = (
    "/api/v1/accounts",
    "/api/v1/tokens",
    "/api/v1/invites",
    "/api/v1/snapshots",
    "/api/v1/network",
    "/api/v1/node",
    "/api/v1/join/progress",
)
"""Who may make others known, become part of the cluster, or take all data away."""
_OWN_TO_CHANGE: Final = ("/api/v1/brokers", "/api/v1/cluster/forget")
"""Who may take a machine out of it; what there is may be read."""


_CHANGE_BY_INVITE: Final = "/api/v1/join"
"""Open, as the invite is in the body; and a machine becomes part of the cluster."""
_NO_CHANGE: Final = ("/api/v1/join/progress", "/api/v1/node/reach")
"""What nodes tell and ask each other again and again."""


def is_recorded(method: str, path: str) -> bool:
    """Whether a request is a change, which the record has to have."""
    if method in READING or path in _NO_CHANGE:
        return False
    return path == _CHANGE_BY_INVITE or needed(method, path) in (Need.CHANGE, Need.OWN)


def needed(method: str, path: str) -> Need:
    """Return what a request needs. method: in capitals."""
    is_reading = method in READING
    if path in (_OPEN_TO_READ if is_reading else _OPEN_TO_POST if method == "POST" else ()):
        return Need.NOTHING
    if is_reading and path.startswith(_ASSETS):
        return Need.NOTHING
    if path.startswith(_PAGE_SOCKET):
        return Need.READ
    if _is_below(path, _OWN) or (not is_reading and _is_below(path, _OWN_TO_CHANGE)):
        return Need.OWN
    if path in _KNOWN:
        return Need.KNOWN
    return Need.READ if is_reading else Need.CHANGE


def _is_below(path: str, places: tuple[str, ...]) -> bool:
    return any(path == each or path.startswith(f"{each}/") for each in places)


def is_granted(need: Need, who: Who, *, is_reading_open: bool) -> bool:
    """Whether `who` has what is needed."""
    if need is Need.NOTHING or (need is Need.READ and is_reading_open):
        return True
    return who.may >= need


def may_of(scope: str) -> Need:
    """Return what a token of `scope` may; an unknown one of a later release: to read."""
    return Need.CHANGE if scope == Scope.CHANGE.value else Need.KNOWN


def foreign_origin(method: str, headers: Mapping[str, str], *, by_cookie: bool) -> str:
    """Return why a page of elsewhere may have sent this; empty when it cannot have.

    headers: by names in lower case. A browser says where a change comes from; one that comes by
    a cookie and says nothing is refused, as a script of no page has no cookie.
    """
    if method in READING:
        return ""
    origin = headers.get("origin")
    if origin is not None:
        if not is_of_host(origin, headers.get("host", "")):
            return f"a change from a page of {origin[:100]} is refused"
        return ""
    site = headers.get("sec-fetch-site")
    if site not in (None, "same-origin", "none"):
        return "a change from a page of another site is refused"
    if by_cookie and site != "same-origin":
        return "a change by a session must come from a page of this server"
    return ""


def is_of_host(origin: str, host: str) -> bool:
    """Whether a page of `origin` came from `host`; behind TLS the scheme here is another one."""
    return origin.lower().partition("://")[2] == host.lower()


def is_loopback(host: str) -> bool:
    """Whether `host`, of a Host header or a socket, is this machine by a name nobody can move.

    A page of elsewhere may let its own name point to 127.0.0.1: then its name is what the browser
    sends.
    """
    name, _, port = host.rpartition(":")
    if not name or not port.isdigit() or (":" in name and not name.endswith("]")):
        name = host
    name = name.removeprefix("[").removesuffix("]").lower()
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False

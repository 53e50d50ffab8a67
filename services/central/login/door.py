"""Who a request is of: by the cluster's token, an API token, or a session."""

from collections.abc import Callable, Mapping
from typing import Final

from starlette.requests import HTTPConnection

from services.central.login.access import Kind, Need, Who, is_loopback, may_of
from services.central.login.api_tokens import read_token_text
from services.central.login.sessions import Session, read_session, session_key, stamp_of
from shared.http import client_name
from shared.invite_token import is_secret_of
from shared.on_behalf import BY, Behalf, address_in, read_behalf, write_behalf
from shared.settings_events import Account, ApiToken
from shared.token import same_token

_OF_PROXIES: Final = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


class Door:
    """Knows callers; changes nothing and waits for nothing."""

    def __init__(
        self,
        *,
        token: str | None,
        accounts: Callable[[], Mapping[str, Account]],
        tokens: Callable[[], Mapping[str, ApiToken]],
        is_ended: Callable[[str], bool],
        now_s: Callable[[], float],
        opens_reading: bool,
    ) -> None:
        """Build it.

        token: of the cluster; without one nobody is known. is_ended: whether somebody logged out of
        a session. now_s: Unix time. opens_reading: whether reading is open on loopback.
        """
        self._token = token
        self._key = None if token is None else session_key(token)
        self._accounts, self._tokens = accounts, tokens
        self._is_ended, self._now_s = is_ended, now_s
        self._opens_reading = opens_reading

    @property
    def key(self) -> bytes | None:
        """What sessions are signed with; None where nobody can log in."""
        return self._key

    @property
    def token(self) -> str | None:
        """The cluster's token."""
        return self._token

    def who(self, asked: HTTPConnection) -> Who:
        """Return who asks. A credential that is none makes nobody, also beside one that is."""
        address = "" if asked.client is None else asked.client.host
        given = asked.headers.get("authorization")
        if given is not None:
            scheme, _, text = given.partition(" ")
            return (
                self._bearer(asked, text.strip(), address)
                if scheme.lower() == "bearer"
                else Who(address=address)
            )
        session = self.session(asked)
        if session is None:
            return Who(address=address)
        return Who(
            Kind.ACCOUNT, session.account, Need.OWN, address, session=session.id, by_cookie=True
        )

    def session(self, asked: HTTPConnection) -> Session | None:
        """Return the session in the cookie; None without one that holds."""
        text = asked.cookies.get(cookie_name(asked))
        if text is None or self._key is None:
            return None
        session = read_session(text, self._key, self._now_s())
        if session is None or self._is_ended(session.id):
            return None
        account = self._accounts().get(session.account)
        if account is None or stamp_of(account.password_hash) != session.stamp:
            return None
        return session

    def is_reading_open(self, asked: HTTPConnection) -> bool:
        """Whether everybody may read over this connection: on loopback alone, without TLS.

        What a proxy passed on comes from elsewhere, whatever its own address is.
        """
        server = asked.scope.get("server") or ("", None)
        hosts = (
            server[0],
            "" if asked.client is None else asked.client.host,
            asked.headers.get("host", ""),
        )
        return (
            self._opens_reading
            and asked.scope["scheme"] in ("http", "ws")
            and not any(name in asked.headers for name in _OF_PROXIES)
            and all(map(is_loopback, hosts))
        )

    def _bearer(self, asked: HTTPConnection, text: str, address: str) -> Who:
        if self._token is not None and same_token(self._token, text):
            return _system(asked, address)
        given = read_token_text(text)
        found = None if given is None else self._tokens().get(given.id)
        if given is None or found is None or not is_secret_of(given.secret, found.secret_hash):
            return Who(address=address)
        return Who(Kind.TOKEN, found.name, may_of(found.scope), address)


def cookie_name(asked: HTTPConnection) -> str:
    """Return the name of the session's cookie: by HTTPS one that no other host can set."""
    is_secure = asked.scope["scheme"] in ("https", "wss")
    return "__Host-steadflow" if is_secure else "steadflow"


def _system(asked: HTTPConnection, address: str) -> Who:
    """Return who has the cluster's token, or for whom it asks."""
    behalf = read_behalf(asked.headers.get(BY, ""))
    if behalf is None:
        # Another central passes on what anybody may ask.
        address = address_in(asked.headers.get(BY, "")) or address
        return Who(Kind.SYSTEM, client_name(asked) or "token", Need.OWN, address)
    # What another central's caller may was judged there.
    return Who(Kind(behalf.kind), behalf.name, Need.OWN, behalf.address or address)


def behalf_of(who: Who) -> str:
    """Return the value of `BY` for a request of `who` that is passed on."""
    return write_behalf(Behalf(who.kind.value, who.name, who.address))

"""Logging in: one try after the other, slowed down where they fail, noted where they do not."""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from services.central.login.access import Kind, Need, Who
from services.central.login.audit_log import FAILED_LOGIN, LOGIN, LOGOUT, AuditLog
from services.central.login.failures import Failed, FailureTally
from services.central.login.metrics import LoginMetrics
from services.central.login.passwords import hash_password, is_password_of
from services.central.login.sessions import Session, stamp_of, write_session
from services.central.login.throttle import Throttle
from shared.audit import Audited
from shared.settings_events import Account

AT_ONCE: Final = 2
"""Hashes at a time: each takes 64 MiB and a core."""
IN_LINE_MAX: Final = 20
UNTOLD_KEPT: Final = 1_000
LOOK_S: Final = 10.0
WRONG: Final = "This account and password do not go together."


class LoginRefused(Exception):
    """No login; the text is one sentence. wait_s: until the next try, 0 for now."""

    def __init__(self, sentence: str, wait_s: float = 0.0) -> None:
        """sentence: is shown."""
        super().__init__(sentence)
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class LoginClocks:
    """now_s: Unix time; monotonic_s: must not fall."""

    now_s: Callable[[], float]
    monotonic_s: Callable[[], float]


class Logins:
    """Checks passwords and makes sessions."""

    def __init__(
        self,
        accounts: Callable[[], Mapping[str, Account]],
        audit: AuditLog,
        metrics: LoginMetrics,
        *,
        key: bytes | None,
        clocks: LoginClocks,
    ) -> None:
        """key: of the sessions; None lets nobody in."""
        self._accounts, self._audit, self._metrics, self._key = accounts, audit, metrics, key
        self._clocks = clocks
        self._throttle, self._tally = Throttle(), FailureTally()
        self._hashing = asyncio.Semaphore(AT_ONCE)
        self._in_line = 0
        self._untold: deque[Audited] = deque(maxlen=UNTOLD_KEPT)
        # Nobody's: checked where there is no account, so that its absence takes as long.
        self._nobodys_hash = ""

    async def run(self) -> None:
        """Note failures that were gathered, and logouts that nobody heard of, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            if (due := self._tally.due(self._clocks.monotonic_s())) is not None:
                await self._note_failed(due)
            await self.tell_logouts()

    async def tell_logouts(self) -> None:
        """Try once more to tell the other centrals of logouts while Kafka was away."""
        while self._untold and await self._audit.attempt(self._untold[0]):
            self._untold.popleft()

    @property
    def has_accounts(self) -> bool:
        """Whether anybody could log in."""
        return bool(self._accounts())

    async def log_in(self, account: str, password: str, address: str) -> str:
        """Return the cookie of a new session. Raises LoginRefused."""
        await self.check(account, password, address)
        found = self._accounts().get(account)
        if found is None or self._key is None:
            raise LoginRefused(WRONG)
        began_s = int(self._clocks.now_s())
        session = Session(account, began_s, secrets.token_hex(8), stamp_of(found.password_hash))
        self._metrics.logins.labels("succeeded").inc()
        who = Who(Kind.ACCOUNT, account, Need.OWN, address, session.id)
        await self._audit.note(self._audit.record(who, LOGIN))
        return write_session(session, self._key)

    async def check(self, account: str, password: str, address: str) -> None:
        """Return when `password` is the account's. Raises LoginRefused."""
        now_s = self._clocks.monotonic_s()
        wait_s = self._throttle.wait_s(address, account, now_s)
        if wait_s > 0 or self._in_line >= IN_LINE_MAX:
            self._metrics.logins.labels("slowed_down").inc()
            wait_s = max(wait_s, 1.0)
            raise LoginRefused(f"Too many tries: wait {wait_s:.0f} s, then try again.", wait_s)
        # Tries at the same moment count as failed until they are known not to be.
        self._throttle.failed(address, account, now_s)
        found = self._accounts().get(account)
        if not await self._is_right(password, None if found is None else found.password_hash):
            self._metrics.logins.labels("failed").inc()
            known = "" if found is None else account
            due = self._tally.failed(address, known, self._clocks.monotonic_s())
            if due is not None:
                await self._note_failed(due)
            raise LoginRefused(WRONG)
        self._throttle.succeeded(address, account)

    async def hashed(self, password: str) -> str:
        """Return the hash to keep of a new password."""
        async with self._hashing:
            return await asyncio.to_thread(hash_password, password)

    async def log_out(self, who: Who) -> None:
        """End the session of `who`, at all centrals; without Kafka here, and there later."""
        self._audit.end(who.session)
        record = self._audit.record(who, LOGOUT)
        if not await self._audit.attempt(record):
            self._untold.append(record)

    async def _is_right(self, password: str, password_hash: str | None) -> bool:
        self._in_line += 1
        try:
            async with self._hashing:
                if not self._nobodys_hash:
                    self._nobodys_hash = await asyncio.to_thread(
                        hash_password, secrets.token_hex(16)
                    )
                checked = password_hash or self._nobodys_hash
                is_same = await asyncio.to_thread(is_password_of, password, checked)
        finally:
            self._in_line -= 1
        return is_same and password_hash is not None

    async def _note_failed(self, failed: Failed) -> None:
        # A name that is no account may be a password in the wrong field.
        who = Who(Kind.ACCOUNT, failed.account or "(unknown)", Need.NOTHING, failed.address)
        self._audit.note_soon(self._audit.record(who, FAILED_LOGIN, count=failed.count, status=401))

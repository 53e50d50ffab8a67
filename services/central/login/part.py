"""Everything about logins of one central, put together."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from fastapi import FastAPI, Request

from services.central.config import CentralConfig
from services.central.login.api import accounts_router, audit_router
from services.central.login.audit_log import AuditLog
from services.central.login.door import Door
from services.central.login.first_account import first_password, make_first_account
from services.central.login.guard import Guarded
from services.central.login.headers import SecureHeaders
from services.central.login.logins import LoginClocks, Logins
from services.central.login.metrics import LoginMetrics
from services.central.metadata.settings_tables import SettingsTables
from shared.kafka import Brokers
from shared.settings_events import SettingsEvent
from shared.topics import Topic

Change = Callable[[SettingsEvent], Awaitable[None]]


class LoginPart:
    """Who may ask what, and the record of changes."""

    def __init__(
        self,
        config: CentralConfig,
        tables: SettingsTables,
        brokers: Brokers,
        *,
        token: str | None,
        topic: Topic,
        now_ms: Callable[[], int],
        metrics: LoginMetrics,
    ) -> None:
        """Build without connecting. token: of the cluster. Raises ConfigError."""
        self._tables, self._now_ms, self._metrics = tables, now_ms, metrics
        self._first_password = first_password(config.admin_password_file)
        self.audit = AuditLog(
            brokers, topic=topic, node=config.name, now_ms=now_ms, metrics=metrics
        )
        self.door = Door(
            token=token,
            accounts=tables.accounts,
            tokens=tables.tokens,
            is_ended=self.audit.is_ended,
            now_s=lambda: now_ms() / 1000,
            opens_reading=config.reading == "loopback",
        )
        self.logins = Logins(
            tables.accounts,
            self.audit,
            metrics,
            key=self.door.key,
            clocks=LoginClocks(lambda: now_ms() / 1000, time.monotonic),
        )

    async def run(self, change: Change, *, may_make: Callable[[], bool]) -> None:
        """Follow the record, and make the first account; until cancelled.

        change, may_make: as of `make_first_account`.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self.audit.run())
            group.create_task(self.logins.run())
            if self._first_password is not None:
                group.create_task(
                    make_first_account(
                        self._first_password,
                        self.logins,
                        change,
                        may_make=may_make,
                        now_ms=self._now_ms,
                    )
                )

    def guard(self, app: FastAPI) -> None:
        """Have nothing of `app` be answered to who may not ask it."""
        app.add_middleware(Guarded, door=self.door, audit=self.audit, metrics=self._metrics)

    def protect(self, app: FastAPI, others: Callable[[], Iterable[str]]) -> None:
        """Add headers to all answers of `app`. others: URLs of the other centrals."""
        app.add_middleware(SecureHeaders, others=others)

    def add_routes(
        self,
        app: FastAPI,
        change: Change,
        *,
        before_change: Sequence[Callable[[Request], Awaitable[None]]],
    ) -> None:
        """Add accounts, tokens and the record to the API."""
        app.include_router(
            accounts_router(
                self._tables,
                change,
                self.logins,
                before_change=before_change,
                now_ms=self._now_ms,
            )
        )
        app.include_router(audit_router(self.audit))

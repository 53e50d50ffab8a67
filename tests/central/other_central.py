"""What of a second central takes part in logins: a process can have one store, so it has none."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from services.central.login.api import pages_router
from services.central.login.guard import may_change
from services.central.login.part import LoginPart
from services.central.metadata.database import migrate, open_database
from services.central.metadata.settings_tables import SettingsTables
from services.central.metrics import CentralMetrics
from services.central.problems import add_problems
from services.central.roles.api import add_passed_on, to_primary
from services.central.settings import SettingsLog
from services.central.settings_api import settings_router
from shared.health import Health
from shared.kafka import Brokers
from shared.settings_events import RetentionSet
from shared.tasks import end_task
from tests.central.centrals import DEADLINE_S, TOKEN, Place


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class StandbyRole:
    """A standby that knows where the primary is."""

    is_primary = is_holder = False
    primary_url = "http://central-a"


class OtherCentral:
    """Settings read back, logins, and an API that passes changes on to the primary."""

    def __init__(self, place: Place, folder: Path) -> None:
        folder.mkdir()
        self.database = open_database(f"sqlite:///{folder / 'metadata.db'}")
        migrate(self.database)
        brokers, metrics = Brokers(place.bootstrap_servers), CentralMetrics()
        self.tables = SettingsTables(self.database, place.settings.name)
        self.settings = SettingsLog(
            self.tables,
            brokers=brokers,
            topic=place.settings,
            client_id="central-b-settings",
            write=self._never,
            metrics=metrics,
            health=Health("settings"),
            now_ms=now_ms,
            wait_s=10.0,
        )
        self.login = LoginPart(
            place.config(name="central-b"),
            self.tables,
            brokers,
            token=TOKEN,
            topic=place.audit,
            now_ms=now_ms,
            metrics=metrics.login,
        )
        self.app = FastAPI()
        add_problems(self.app)
        add_passed_on(self.app)
        self.login.guard(self.app)
        role: Any = StandbyRole()  # Any: it is no Role
        before = [may_change, to_primary(role, token=TOKEN)]
        self.login.add_routes(self.app, self.settings.change, before_change=before)
        self.app.include_router(
            settings_router(
                self.tables,
                self.settings,
                retention=lambda: self.tables.retention() or RetentionSet(7, 30, 730),
                before_change=before,
            )
        )
        self.app.include_router(
            pages_router(self.login.logins, head=lambda: "", central="central-b")
        )

    async def _never(self, key: bytes, value: bytes | None) -> int:
        raise AssertionError("a standby writes nothing")

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until `holds`."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not holds():
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.02)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["OtherCentral"]:
        """Read settings and record until the block ends."""

        async def loops() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.settings.run())
                group.create_task(self.login.run(self.settings.change, may_make=lambda: False))

        task = asyncio.create_task(loops())
        try:
            yield self
        finally:
            await end_task(task)
            self.database.dispose()

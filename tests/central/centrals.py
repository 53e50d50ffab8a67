"""Whole centrals in this process: real store, real database, their own topics."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from fastapi import Request

from services.central.app import ROLES_TOPICS, Central, create_app, open_central, running
from services.central.config import CentralConfig
from services.central.problems import Forbidden
from services.central.roles.duties import RolesTopics
from shared.topics import AUDIT, DIGESTS, DRILLS, Topic
from tests.central.patient import PatientTransport

DEADLINE_S = 60.0
TOKEN = "a-token-of-the-tests"
URL = "http://127.0.0.1:8470"
"""Reading is open there."""


def own_digests() -> Topic:
    """Return a topic that no other central of the session writes to; a central makes it."""
    return replace(DIGESTS, name=f"digests-{uuid.uuid4().hex}")


@dataclass(frozen=True, slots=True)
class Place:
    """What outlives a central's process."""

    data_dir: Path
    bootstrap_servers: str
    flows: Topic
    settings: Topic
    roles: RolesTopics = ROLES_TOPICS
    name: str = "central-a"
    digests: Topic = field(default_factory=own_digests)
    drills: Topic = field(
        default_factory=lambda: replace(DRILLS, name=f"drills-{uuid.uuid4().hex}")
    )
    audit: Topic = field(default_factory=lambda: replace(AUDIT, name=f"audit-{uuid.uuid4().hex}"))

    def config(self, **changes: Any) -> CentralConfig:  # Any: fields of the config
        self.data_dir.mkdir(exist_ok=True)
        token = self.data_dir / "token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        fields: dict[str, Any] = {
            "name": self.name,
            "data_dir": self.data_dir,
            "bootstrap_servers": self.bootstrap_servers,
            "token_file": token,
            # It reads a topic of its own, which all centrals of a session would share.
            "live": False,
        }
        return CentralConfig(**(fields | changes))

    @contextlib.contextmanager
    def opened(
        self,
        *,
        config: CentralConfig | None = None,
        before_step: Callable[[str], None] = lambda step: None,
    ) -> Iterator[Central]:
        central = open_central(
            config or self.config(),
            flows=self.flows,
            settings_topic=self.settings,
            roles_topics=self.roles,
            digests=self.digests,
            drills_topic=self.drills,
            audit_topic=self.audit,
            url=f"http://{self.name}",
            before_step=before_step,
        )
        try:
            yield central
        finally:
            central.close()

    @contextlib.asynccontextmanager
    async def run(
        self,
        before_step: Callable[[str], None] = lambda step: None,
        **changes: Any,  # fields of the config
    ) -> AsyncIterator["Running"]:
        """Run a central until the block ends."""
        config = self.config(**changes)
        with self.opened(config=config, before_step=before_step) as central:
            async with running(central) as loops, client_of(central) as client:
                yield Running(central, client, loops)


@dataclass(frozen=True, slots=True)
class Running:
    central: Central
    client: httpx.AsyncClient
    loops: "asyncio.Task[None]"

    async def get(self, path: str, **query: Any) -> Any:  # Any: JSON
        answer = await self.client.get(f"/api/v1/{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def reads_to(self, offset: int, partition: int = 0) -> None:
        await self.until(lambda: self.central.applier.positions.get(partition, 0) >= offset)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until `holds`; fails when a loop of the central ends first."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not holds():
            if self.loops.done():
                await self.loops
            assert time.monotonic() < deadline_s, self.central.health.reasons
            await asyncio.wait([self.loops], timeout=0.02)

    def alarms(self, kind: str) -> float:
        registry = self.central.metrics.registry
        return registry.get_sample_value("steadflow_central_alarms_total", {"kind": kind}) or 0.0


@contextlib.asynccontextmanager
async def client_of(central: Central) -> AsyncIterator[httpx.AsyncClient]:
    transport = PatientTransport(create_app(central))
    async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
        yield client


def authorized() -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKEN}"}


async def with_token(request: Request) -> None:
    """What stands before a router that is served without the guard of a whole central."""
    if request.headers.get("Authorization") != f"Bearer {TOKEN}":
        raise Forbidden("no")

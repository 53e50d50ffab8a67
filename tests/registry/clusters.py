"""Registries in this process and centrals that do nothing but live, on one log."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from services.registry.app import Service, build, create_app, running
from services.registry.config import RegistryConfig
from shared.ha_log import HaLog
from shared.kafka import Brokers, KafkaAway, Producer, Pulse, unbroken
from shared.roles.fold import Folded, RolesState, Standing, standing
from shared.roles.policy import handover_target
from shared.roles.records import Claim, Handover, Heartbeat, Record, encode_record
from shared.topics import Topic

DEADLINE_S = 60.0
TOKEN = "a-token-of-the-tests"
PERIOD_MS = 100

_boots = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Cluster:
    """The topics of one cluster, a folder for the token, and the period of ticks."""

    bootstrap_servers: str
    ha_log: Topic
    ha_roles: Topic
    ha_history: Topic
    folder: Path
    period_ms: int = PERIOD_MS

    @contextlib.asynccontextmanager
    async def registry(self, name: str = "r1", **changes: Any) -> AsyncIterator["Running"]:
        """Run a registry until the block ends. changes: fields of its config."""
        token = self.folder / "token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        fields: dict[str, Any] = {
            "name": name,
            "bootstrap_servers": self.bootstrap_servers,
            "token_file": token,
            "period_ms": self.period_ms,
            "hold_down_s": 0.0,
        } | changes
        service = build(
            RegistryConfig(**fields),
            ha_log=self.ha_log,
            ha_roles=self.ha_roles,
            ha_history=self.ha_history,
        )
        transport = httpx.ASGITransport(create_app(service))
        async with (
            running(service) as loops,
            httpx.AsyncClient(transport=transport, base_url="http://registry") as client,
        ):
            yield Running(service, client, loops)

    @contextlib.asynccontextmanager
    async def central(self, node: str, **heartbeat: Any) -> AsyncIterator["FakeCentral"]:
        """Let a central live until the block ends. heartbeat: fields that it always says."""
        central = FakeCentral(self, node, heartbeat)
        task = asyncio.create_task(central.run())
        try:
            yield central
        finally:
            await ended(task)

    async def append(self, *records: Record) -> None:
        """Append records as somebody else would."""
        producer = Producer(Brokers(self.bootstrap_servers), client_id="somebody")
        await producer.start()
        try:
            for record in records:
                value = encode_record(record)
                await producer.send(self.ha_log.name, partition=0, key=None, value=value)
        finally:
            # Whoever ends a central may do so while it answers.
            await unbroken(producer.stop)

    async def read(self) -> list[Folded]:
        """Return all that the log holds now."""
        log = HaLog(Brokers(self.bootstrap_servers), client_id="test", topic=self.ha_log)
        read: list[Folded] = []
        try:
            await log.start(read.append)
            return read
        finally:
            await log.stop()


@dataclass(frozen=True, slots=True)
class Running:
    """A running registry and a client of its API."""

    service: Service
    client: httpx.AsyncClient
    loops: "asyncio.Task[None]"

    @property
    def state(self) -> RolesState:
        return self.service.registry.state

    @property
    def primary(self) -> str:
        """The node that is primary and lives."""
        return self.state.holder.partition("/")[0] if self.is_alive else ""

    @property
    def is_alive(self) -> bool:
        return standing(self.state) is Standing.ALIVE

    async def until(self, holds: Callable[[], bool], what: str = "") -> None:
        """Wait until `holds`; fails when a loop of the registry ends first."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not holds():
            if self.loops.done():
                await self.loops
            assert time.monotonic() < deadline_s, (what, self.service.health.reasons, self.state)
            await asyncio.wait([self.loops], timeout=0.01)

    async def ticks(self, count: int) -> None:
        """Wait for so many more valid ticks."""
        wanted = self.state.ticks + count
        await self.until(lambda: self.state.ticks >= wanted, f"{count} more ticks")

    async def get(self, path: str) -> Any:  # Any: JSON
        answer = await self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: object = None, **headers: str) -> httpx.Response:
        given = {"Authorization": f"Bearer {TOKEN}"} | headers
        return await self.client.post(path, json=body, headers=given)

    def metric(self, name: str, **labels: str) -> float | None:
        return self.service.metrics.registry.get_sample_value(f"steadflow_registry_{name}", labels)


@dataclass(slots=True)
class FakeCentral:
    """Sends heartbeats, follows the log, hands over and claims what is handed to it."""

    cluster: Cluster
    node: str
    says: dict[str, Any]
    is_beating: bool = True
    incarnation: str = ""
    log: HaLog = field(init=False)

    def __post_init__(self) -> None:
        self.incarnation = f"{self.node}/{next(_boots)}"
        self.log = HaLog(
            Brokers(self.cluster.bootstrap_servers), client_id=self.node, topic=self.cluster.ha_log
        )

    @property
    def state(self) -> RolesState:
        return self.log.state

    async def run(self) -> None:
        topic = self.cluster.ha_log.name
        pulse = Pulse(
            Brokers(self.cluster.bootstrap_servers), client_id=f"{self.node}-p", topic=topic
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(pulse.run())
                group.create_task(self._beat(pulse))
                group.create_task(self._follow())
        finally:
            await self.log.stop()

    async def _beat(self, pulse: Pulse) -> None:
        while True:
            if self.is_beating and self.state.config is not None:
                fields: dict[str, Any] = {
                    "node": self.node,
                    "incarnation": self.incarnation,
                    "epoch": self.state.epoch,
                    "acknowledged_ticks": self.state.ticks,
                    "lag_s": 0.0,
                    "has_acted": True,
                    "url": f"http://{self.node}",
                } | self.says
                pulse.send(encode_record(Heartbeat(**fields)))
            await asyncio.sleep(self.cluster.period_ms / 1000)

    async def _follow(self) -> None:
        await self.log.start()
        answered: set[tuple[int, int]] = set()
        while True:
            try:
                if not await self.log.fetch():
                    continue
            except KafkaAway:
                continue
            place = (self.state.epoch, self.state.ticks)
            record = self._answer()
            if record is not None and self.is_beating and place not in answered:
                answered.add(place)
                await self.cluster.append(record)

    def _answer(self) -> Record | None:
        state = self.state
        if state.holder == self.incarnation:
            target = handover_target(state)
            return None if target is None else Handover(self.incarnation, target.incarnation)
        handover = state.handover if standing(state) is Standing.HANDED_OVER else None
        if handover is None or handover.to != self.incarnation:
            return None
        return Claim(
            incarnation=self.incarnation,
            expected_epoch=state.epoch,
            reason="switchover",
            by=self.node,
        )


async def ended(task: "asyncio.Task[None]") -> None:
    """Cancel `task` and wait for its end; its own failure is raised."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=1.0)
    if not task.cancelled() and (error := task.exception()):
        raise error

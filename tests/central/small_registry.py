"""The least that a registry does, in this process: first configuration, ticks, proposals."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from shared.ha_log import HaLog
from shared.kafka import Brokers, Producer
from shared.roles.policy import propose
from shared.roles.records import Config, Record, Tick, encode_record
from shared.topics import Topic

PERIOD_MS = 100


class SmallRegistry:
    def __init__(self, bootstrap_servers: str, topic: Topic, config: Config | None = None) -> None:
        self.log = HaLog(Brokers(bootstrap_servers), client_id="small-registry", topic=topic)
        self._topic = topic
        self._producer = Producer(Brokers(bootstrap_servers), client_id="small-registry")
        self._config = config or Config(period_ms=PERIOD_MS, hold_down_s=0)
        self.rests = False
        """It goes on reading, and does nothing: as if no registry lived."""

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator["SmallRegistry"]:
        await self.log.start()
        await self._producer.start()
        await self.append(self._config)
        tasks = [asyncio.create_task(self._tick()), asyncio.create_task(self._propose())]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self._producer.stop()
            await self.log.stop()

    async def append(self, record: Record) -> None:
        await self._producer.send(
            self._topic.name, partition=0, key=None, value=encode_record(record)
        )

    async def _tick(self) -> None:
        while True:
            if not self.rests:
                await self.append(Tick("small"))
            await asyncio.sleep(self._config.period_ms / 1000)

    async def _propose(self) -> None:
        while True:
            await self.log.fetch()
            claim = propose(self.log.state, by="small")
            if claim is not None and not self.rests:
                await self.append(claim)

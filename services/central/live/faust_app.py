"""The stream processor of the live rates: all that knows Faust (decision 0007).

Faust 0.15 keeps away from Kafka here, from signals, from the web and from the disk: a reader feeds
it through a channel in memory, and it runs in the loop that is there.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from faust.app.base import App, BootStrategy
from faust.types import StreamT

Batch = TypeVar("Batch")

WAITING_MAX = 4
"""Batches on their way to the agent; then `put` waits."""
STOP_TIMEOUT_S = 5.0

# Their own INFO is one line per part and start.
for _name in ("faust", "mode"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class _InMemory(BootStrategy):
    enable_kafka = False
    enable_web = False
    enable_sensors = False


class _App(App):
    BootStrategy = _InMemory
    # Faust calls every subclass after the module that it stands in.
    logger = logging.getLogger("faust.live")

    async def on_start(self) -> None:
        """Leave out what belongs to Kafka's consumer."""

    def _create_directories(self) -> None:
        """Keep nothing on disk."""


class FaustApp(Generic[Batch]):
    """One life of a Faust app with one agent; another life is another object."""

    def __init__(self, app_id: str, process: Callable[[Batch], None]) -> None:
        """app_id: unique per central. process: called with each batch, in order, in this loop."""
        self.crashed = asyncio.Event()
        self.reason: BaseException | None = None
        self._app = _App(
            app_id,
            broker="kafka://never-asked",
            web_enabled=False,
            autodiscover=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            store="memory://",
        )
        self._app.loop = asyncio.get_running_loop()
        self._channel = self._app.channel(maxsize=WAITING_MAX)

        async def follow(batches: StreamT[Batch]) -> None:
            async for batch in batches:
                try:
                    process(batch)
                except Exception as error:
                    # Faust would go on with the next one, and this would be missing for ever.
                    self.reason = error
                    self.crashed.set()
                    raise

        self._app.agent(self._channel, name="rates", concurrency=1)(follow)

    async def start(self) -> None:
        """Start; then batches may be put."""
        self._app.finalize()
        await self._app.start()
        # Faust opens it with the first partitions that Kafka gives it.
        self._app.flow_control.resume()

    async def put(self, batch: Batch) -> None:
        """Hand a batch to the agent; waits while it has enough to do. Returns once it crashed."""
        putting = asyncio.ensure_future(self._channel.put(batch))  # type: ignore[arg-type]  # any value
        crashed = asyncio.ensure_future(self.crashed.wait())
        both = {putting, crashed}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in both:
                each.cancel()
            await asyncio.wait(both)

    async def stop(self) -> None:
        """Stop within a few seconds."""
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._app.stop()
        finally:
            # Streams make a consumer, and it a loop for its thread, though neither ever starts.
            for part in (self._app._consumer, self._app._producer):
                for name in ("_thread", "threaded_producer"):
                    loop = getattr(getattr(part, name, None), "thread_loop", None)
                    if loop is not None:
                        loop.close()


def warm_up() -> None:
    """Have Faust import all that it imports late, which takes seconds; not in a running loop."""

    async def once() -> None:
        app = FaustApp[None]("warm-up", lambda batch: None)
        await app.start()
        await app.stop()

    asyncio.run(once())

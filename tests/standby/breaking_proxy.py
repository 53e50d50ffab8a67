"""A TCP proxy that breaks connections off after some bytes of the answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field


@dataclass
class BreakingProxy:
    """breaks: connections still to be broken off, each after `after_bytes` from the server."""

    upstream_port: int
    after_bytes: int
    breaks: int
    port: int = 0
    broken: int = 0
    serving: set["asyncio.Task[None]"] = field(default_factory=set)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["BreakingProxy"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self.serving:
                task.cancel()
            await asyncio.gather(*self.serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await self._serve_one(reader, writer)
        self.serving.discard(task)

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        sending = asyncio.create_task(self._pass_on(reader, up_writer, None))
        limit = self.after_bytes if self.breaks > 0 else None
        try:
            if await self._pass_on(up_reader, writer, limit):
                self.breaks -= 1
                self.broken += 1
        finally:
            sending.cancel()
            for each in (writer, up_writer):
                each.transport.abort()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None
    ) -> bool:
        """Pass bytes on to the end or to `limit`; tell whether the limit was met."""
        passed = 0
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(16_384):
                passed += len(piece)
                if limit is not None and passed > limit:
                    return True
                writer.write(piece)
                await writer.drain()
        return False

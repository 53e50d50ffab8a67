"""A TCP proxy on loopback whose two directions can be cut and healed, or delayed, on their own.

A cut direction keeps what was sent and delivers it after it healed, as TCP does over a network
that was away.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from enum import StrEnum

HOST = "127.0.0.1"
_CHUNK_BYTES = 1 << 16
_LOOK_S = 0.02


class Direction(StrEnum):
    """Seen from the client."""

    TO_SERVER = "to the server"
    FROM_SERVER = "from the server"


class Proxy:
    """Passes connections from its port to a server's. Made by `proxy`; called from any thread."""

    def __init__(self, port: int, server_port: int) -> None:
        self.port = port
        self._server_port = server_port
        self._cut: frozenset[Direction] = frozenset()
        self._delay_s = 0.0
        self._connections: set[asyncio.Task[None]] = set()

    def cut(self, *directions: Direction) -> None:
        """Hold back whatever goes in these directions, from now on; none heals both."""
        self._cut = frozenset(directions)

    def delay(self, seconds: float) -> None:
        """Deliver every piece so much later."""
        self._delay_s = seconds

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        """Run until `stop`."""
        async with await asyncio.start_server(self._connect, HOST, self.port):
            ready.set()
            await stop.wait()
            for task in list(self._connections):
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._pass_both(reader, writer)
        finally:
            writer.close()
            self._connections.discard(task)

    async def _pass_both(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(HOST, self._server_port)
        ways = [
            asyncio.create_task(self._pass(reader, server_writer, Direction.TO_SERVER)),
            asyncio.create_task(self._pass(server_reader, writer, Direction.FROM_SERVER)),
        ]
        try:
            # Whichever end closes, the other one is to know.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Before anything is awaited: whoever stops the proxy may cancel this just now.
            server_writer.close()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction
    ) -> None:
        while piece := await reader.read(_CHUNK_BYTES):
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            while direction in self._cut:
                await asyncio.sleep(_LOOK_S)
            writer.write(piece)
            await writer.drain()


@contextlib.contextmanager
def proxy(port: int, server_port: int) -> Iterator[Proxy]:
    """A proxy on `port` that runs in a thread of its own while the block lasts."""
    made, ready = Proxy(port, server_port), threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    def run() -> None:
        try:
            loop.run_until_complete(made.serve(ready, stop))
        finally:
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(10), "the proxy does not listen"
        yield made
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()

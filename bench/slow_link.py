"""A TCP link that is far away: every connection through it waits, and all share its rate.

The kernel of a test machine has no `netem`; a proxy on another loopback address does as well.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

CHUNK_BYTES = 1 << 14
ON_THE_WAY_MAX = 64
"""Pieces of one connection and direction: a megabyte, as a socket's buffers would hold."""


class Way(NamedTuple):
    """One port of the link: connections to host:port go on to server_host:server_port."""

    host: str
    port: int
    server_host: str
    server_port: int


@dataclass(slots=True)
class Link:
    """What all connections share. delay_s: one way; stall_s: how long it stands still each time."""

    delay_s: float
    bytes_per_s: float
    stall_every_s: float = 0.0
    stall_s: float = 0.0
    passed_bytes: int = 0
    _free_at_s: dict[bool, float] = field(default_factory=lambda: {False: 0.0, True: 0.0})
    _stalls_at_s: float = 0.0

    def arrives_s(self, now_s: float, size: int, *, is_back: bool) -> float:
        """Return when `size` bytes that are sent now are at the other end."""
        if self.stall_every_s and now_s >= self._stalls_at_s:
            self._stalls_at_s = now_s + self.stall_every_s + self.stall_s
            self._free_at_s = dict.fromkeys(self._free_at_s, now_s + self.stall_s)
        begins_s = max(now_s, self._free_at_s[is_back])
        self._free_at_s[is_back] = begins_s + size / self.bytes_per_s
        self.passed_bytes += size
        return self._free_at_s[is_back] + self.delay_s


@contextlib.contextmanager
def slow_link(link: Link, ways: list[Way]) -> Iterator[None]:
    """Serve `ways` in a thread of its own while the block lasts."""
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    def run() -> None:
        try:
            loop.run_until_complete(_serve(link, ways, ready, stop))
        finally:
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        if not ready.wait(10):
            raise TimeoutError("the link does not listen")
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


async def _serve(link: Link, ways: list[Way], ready: threading.Event, stop: asyncio.Event) -> None:
    connections: set[asyncio.Task[None]] = set()

    def connect(way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_connect(link, way, reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    async with contextlib.AsyncExitStack() as servers:
        for way in ways:
            serving = await asyncio.start_server(partial(connect, way), way.host, way.port)
            await servers.enter_async_context(serving)
        ready.set()
        await stop.wait()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _connect(
    link: Link, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        back, there = await asyncio.open_connection(way.server_host, way.server_port)
    except OSError:
        writer.close()
        return
    passing = [
        asyncio.create_task(_pass(link, reader, there, is_back=False)),
        asyncio.create_task(_pass(link, back, writer, is_back=True)),
    ]
    try:
        await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in passing:
            task.cancel()
        await asyncio.gather(*passing, return_exceptions=True)
        writer.close()
        there.close()


async def _pass(
    link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_back: bool
) -> None:
    clock = asyncio.get_running_loop()
    sent: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(ON_THE_WAY_MAX)

    async def deliver() -> None:
        while True:
            due_s, piece = await sent.get()
            await asyncio.sleep(due_s - clock.time())
            if not piece:
                return
            writer.write(piece)
            await writer.drain()

    delivering = asyncio.create_task(deliver())
    try:
        while piece := await reader.read(CHUNK_BYTES):
            await sent.put((link.arrives_s(clock.time(), len(piece), is_back=is_back), piece))
        await sent.put((clock.time() + link.delay_s, b""))
        await delivering
    finally:
        delivering.cancel()
        await asyncio.gather(delivering, return_exceptions=True)

"""Loops that end while brokers say nothing: their connections end with them."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` does, run in a loop of its own that leaves no connection behind.

    TLS waits half a minute for the other end to close; a broker that is frozen, or only slow, does
    not, and `asyncio.run` ends its loop before.
    """
    return asyncio.run(_whole(work))


async def _whole(work: Coroutine[Any, Any, T]) -> T:
    try:
        return await work
    finally:
        await _end_connections()


async def _end_connections() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    # One that is cancelled while it connects closes what it had.
    await asyncio.gather(*others, return_exceptions=True)
    loop = asyncio.get_running_loop()
    for transport in list(loop._transports.values()):  # type: ignore[attr-defined]  # private
        transport.abort()
    # A socket is closed in the next round.
    await asyncio.sleep(0)
    await asyncio.sleep(0)

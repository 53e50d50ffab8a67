"""Ending tasks for good."""

import asyncio
from typing import Any, Final

CANCEL_AGAIN_S: Final = 1.0


async def end_task(task: asyncio.Task[Any]) -> None:  # Any: its result is nobody's.
    """Cancel `task` until it is done: a client library may take one cancellation for itself."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_AGAIN_S)


async def until_one_ends(*tasks: asyncio.Task[Any]) -> None:
    """Wait until one of `tasks` is done, and end the others. Raises what one failed with."""
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        await end_task(task)
    for task in tasks:
        if not task.cancelled():
            task.result()

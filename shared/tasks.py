"""Ending a task for good."""

import asyncio
from typing import Any, Final

CANCEL_AGAIN_S: Final = 1.0


async def end_task(task: asyncio.Task[Any]) -> None:  # Any: its result is nobody's.
    """Cancel `task` until it is done: a client library may take one cancellation for itself."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_AGAIN_S)

"""How Kafka disappoints, and the bounded patience with it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiokafka import errors as kafka_errors

from shared.backoff import waits

Result = TypeVar("Result")

REQUEST_TIMEOUT_S = 10.0
"""One request to one broker. Short, because a black-holed connection ends only by it."""
PATIENCE_S = 10.0
"""How long start and one-off questions are tried again before `KafkaAway`."""
STOP_TIMEOUT_S = 3.0

AWAY = (kafka_errors.KafkaError, OSError, TimeoutError)
"""What aiokafka raises when a broker is away or says that it cannot answer now."""


class KafkaAway(Exception):
    """No broker answered, or not in time, after the bounded retries."""


class SendRefused(Exception):
    """The broker will never take this record: too large, or its partition does not exist."""


class SendTooLarge(SendRefused):
    """The broker takes no record as large as this one."""


class TopicRefused(Exception):
    """The broker will not make this topic as described."""


class PositionLost(Exception):
    """The log has no record at `position` of `partition`: deleted by age, or the log is younger."""

    def __init__(self, partition: int, position: int) -> None:
        """position: the offset that was to be read next."""
        super().__init__(f"partition {partition} has no offset {position}")
        self.partition = partition
        self.position = position


async def patiently(attempt: Callable[[], Awaitable[Result]], patience_s: float) -> Result:
    """Try again with growing waits while Kafka is away; KafkaAway once `patience_s` are over."""
    deadline_s = time.monotonic() + patience_s
    for wait_s in waits():
        try:
            return await attempt()
        except AWAY as error:
            if time.monotonic() + wait_s > deadline_s:
                raise KafkaAway(said(error)) from error
        await asyncio.sleep(wait_s)
    raise AssertionError("waits never end")


async def unbroken(work: Callable[[], Awaitable[Result]]) -> Result:
    """Do `work` to its end, or for some seconds, though this task is cancelled meanwhile.

    aiokafka leaks a connection whose making is cancelled. What comes of `work` is then dropped:
    the caller closes what it made.
    """

    async def whole() -> Result:
        return await work()

    task = asyncio.create_task(whole())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=STOP_TIMEOUT_S)
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise


def keep_cancelled() -> None:
    """Raise CancelledError when this task was cancelled and somebody below took that for himself.

    aiokafka waits with `wait_for`, which in Python 3.11 loses a cancellation that comes together
    with the answer; a task group cancels its tasks once and would then wait for ever. To be called
    where nothing is held that nobody else would close.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def said(error: Exception) -> str:
    """Return what `error` says, or what it is called where it says nothing."""
    return str(error) or type(error).__name__

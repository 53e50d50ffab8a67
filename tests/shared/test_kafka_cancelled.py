"""A cancellation that a client library takes for itself still ends whoever reads."""

import asyncio

import pytest

from shared.kafka import Brokers, Reader, errors, reader


class _Swallows:
    """Loses a cancellation, as aiokafka does when it comes together with an answer."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def getmany(self, **_asked: int) -> dict[object, list[object]]:
        self.asked.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return {}
        return {}


async def reading() -> tuple[asyncio.Task[object], _Swallows]:
    """Return a task that reads for ever, and is at it."""
    inner = _Swallows()
    reads = Reader(Brokers("127.0.0.1:9"), client_id="test", topic="flows", silence_s=1e9)
    reads._inner = inner
    reads._heard_at_s = 1e12

    async def loop() -> None:
        while True:
            inner.asked.clear()
            await reads.fetch(timeout_ms=1, records_max=1)

    task: asyncio.Task[object] = asyncio.create_task(loop())
    await inner.asked.wait()
    task.cancel()
    return task, inner


async def test_a_swallowed_cancellation_ends_the_reading() -> None:
    task, _ = await reading()
    await asyncio.wait([task], timeout=60)

    assert task.cancelled()


async def test_without_the_look_it_reads_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "keep_cancelled", lambda: None)
    task, inner = await reading()
    inner.asked.clear()
    await inner.asked.wait()

    assert not task.done()
    monkeypatch.undo()
    task.cancel()
    await asyncio.wait([task], timeout=60)
    assert task.cancelled()


async def test_work_that_must_not_break_ends_before_a_cancellation_goes_on() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def connect() -> None:
        begun.set()
        await asyncio.sleep(0.05)
        ended.set()

    task = asyncio.create_task(errors.unbroken(connect))
    await begun.wait()
    task.cancel()
    await asyncio.wait([task], timeout=60)

    assert task.cancelled()
    assert ended.is_set()

"""A reader whose brokers moved begins again with the addresses that it was given."""

import asyncio
import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka import errors as kafka_errors

from shared.kafka import Brokers, KafkaAway, Reader

PLACE = TopicPartition("log", 0)
RECORD = SimpleNamespace(
    topic="log", partition=0, offset=5, timestamp=1, key=None, value=b"x", headers=()
)


class Consumer:
    """What aiokafka would be: `answers` to who asks for the end, and the records it `has`."""

    def __init__(self, *answers: int | None, has: tuple[SimpleNamespace, ...] = ()) -> None:
        self.answers = list(answers)
        self.has = list(has)
        self.is_stopped = False
        self.is_closed = False
        self._client = SimpleNamespace(close=self._close)

    async def _close(self) -> None:
        self.is_closed = True

    async def getmany(self, **_how: int) -> dict[TopicPartition, list[SimpleNamespace]]:
        found, self.has = self.has, []
        return {PLACE: found} if found else {}

    async def end_offsets(self, _places: object) -> dict[TopicPartition, int]:
        answer = self.answers.pop(0)
        if answer is None:
            raise kafka_errors.KafkaConnectionError("the broker is gone from there")
        return {PLACE: answer}

    async def stop(self) -> None:
        self.is_stopped = True


class MadeReader(Reader):
    """Is given its consumers."""

    def __init__(self, *consumers: Consumer) -> None:
        super().__init__(Brokers("unused:1"), client_id="test", topic="log", silence_s=0.0)
        self._made: Iterator[Any] = iter(consumers)

    async def _connect(self) -> Any:  # Any: as aiokafka's consumer
        return next(self._made)


async def test_one_that_nobody_answers_twice_is_built_anew() -> None:
    moved, found = Consumer(None, None), Consumer(has=(RECORD,))
    reader = MadeReader(moved, found)
    await reader.start({0: 5})

    for _ in range(2):
        assert not moved.is_stopped
        with pytest.raises(KafkaAway, match="gone from there"):
            await reader.fetch(timeout_ms=1, records_max=1)

    assert moved.is_stopped
    (record,) = await reader.fetch(timeout_ms=1, records_max=1)
    assert (record.offset, reader.positions) == (5, {0: 6})


class Deaf(Consumer):
    """Takes one cancellation for itself, as aiokafka does, and waits on."""

    async def stop(self) -> None:
        self.is_stopped = True
        for _ in range(2):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()


async def test_one_that_does_not_stop_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.kafka.reader.STOP_TIMEOUT_S", 0.01)
    moved = Deaf(None, None)
    reader = MadeReader(moved, Consumer(has=(RECORD,)))
    await reader.start({0: 5})

    async with asyncio.timeout(30):
        for _ in range(2):
            with pytest.raises(KafkaAway):
                await reader.fetch(timeout_ms=1, records_max=1)
        assert len(await reader.fetch(timeout_ms=1, records_max=1)) == 1
    assert moved.is_stopped


class Loose(Consumer):
    """Lets a cancellation out that was meant for its fetch, as aiokafka does."""

    async def stop(self) -> None:
        self.is_stopped = True
        raise asyncio.CancelledError


async def test_one_whose_own_cancellation_comes_out_ends_nobody_and_is_closed() -> None:
    moved = Loose(None, None)
    reader = MadeReader(moved, Consumer(has=(RECORD,)))
    await reader.start({0: 5})

    for _ in range(2):
        with pytest.raises(KafkaAway):
            await reader.fetch(timeout_ms=1, records_max=1)
    assert len(await reader.fetch(timeout_ms=1, records_max=1)) == 1
    assert moved.is_closed


async def test_one_that_is_answered_in_between_stays() -> None:
    inner = Consumer(None, 5, None, has=())
    reader = MadeReader(inner)
    await reader.start({0: 5})

    for is_away in (True, False, True):
        if is_away:
            with pytest.raises(KafkaAway):
                await reader.fetch(timeout_ms=1, records_max=1)
        else:
            assert await reader.fetch(timeout_ms=1, records_max=1) == []

    assert not inner.is_stopped

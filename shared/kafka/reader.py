"""Records from Kafka, by partition and offset, without a consumer group.

A reader of aiokafka 0.14 that lost its broker returns nothing for ever, without an error, and its
fetcher is known to hang. So silence is checked here.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka import errors as kafka_errors

from shared.kafka.brokers import Brokers
from shared.kafka.errors import (
    AWAY,
    PATIENCE_S,
    REQUEST_TIMEOUT_S,
    STOP_TIMEOUT_S,
    KafkaAway,
    PositionLost,
    keep_cancelled,
    patiently,
    said,
    unbroken,
)
from shared.kafka.silence import watchful
from shared.topics import MESSAGE_BYTES_MAX

log = logging.getLogger(__name__)

ANSWER_TIMEOUT_S = 5.0
SILENCE_S = 5.0
"""A reader that got nothing for so long asks whether there is nothing."""
UNANSWERED_MAX = 2
"""Then it is built anew: one more would be found by the broker's own return."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record as read. timestamp_ms: the broker's append time where the topic says so."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


class Reader:
    """Reads chosen partitions of one topic from chosen offsets, without a consumer group.

    It goes on by itself when a broker that was away is back, also after `fetch` raised KafkaAway.
    """

    def __init__(
        self,
        brokers: Brokers,
        *,
        client_id: str,
        topic: str,
        read_committed: bool = False,
        patience_s: float = PATIENCE_S,
        silence_s: float = SILENCE_S,
        fetch_bytes: int = 4 * MESSAGE_BYTES_MAX,
    ) -> None:
        """Build without connecting. silence_s: quiet time after which the broker is asked.

        fetch_bytes: most of a partition at once; one batch comes also where it is larger.
        """
        self._brokers = brokers
        self._client_id = client_id
        self._topic = topic
        self._isolation = "read_committed" if read_committed else "read_uncommitted"
        self._patience_s = patience_s
        self._silence_s = silence_s
        self._fetch_bytes = fetch_bytes
        self._inner: AIOKafkaConsumer | None = None
        self._positions: dict[int, int] = {}
        self._heard_at_s = 0.0
        self._behind: dict[int, int] | None = None
        self._unanswered = 0

    @property
    def positions(self) -> dict[int, int]:
        """Offset of the next record to be returned, by partition."""
        return dict(self._positions)

    async def start(self, positions: Mapping[int, int]) -> None:
        """Connect and read each partition in `positions` from its offset. Raises KafkaAway."""
        self._positions = dict(positions)
        await self._reconnect(self._patience_s)

    async def stop(self) -> None:
        """Close within a few seconds."""
        inner, self._inner = self._inner, None
        await _stop_consumer(inner)

    def seek(self, partition: int, offset: int) -> None:
        """Read `partition` from `offset` on."""
        self._positions[partition] = offset
        if self._inner is not None:
            self._inner.seek(TopicPartition(self._topic, partition), offset)

    async def place(self, partition: int) -> int:
        """Return where `partition` is read on: behind what was returned, and transaction markers.

        Raises KafkaAway while there is no connection.
        """
        if self._inner is None:
            raise KafkaAway(f"{self._topic}: not connected")
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return int(await self._inner.position(TopicPartition(self._topic, partition)))
        except AWAY as error:
            raise KafkaAway(f"{self._topic}: {said(error)}") from error

    async def fetch(self, *, timeout_ms: int, records_max: int) -> list[Record]:
        """Return up to `records_max` records by partition and offset; empty after `timeout_ms`.

        Raises PositionLost when a partition's offset is not in the log (seek, then go on), and
        KafkaAway after some quiet seconds when no broker answers; fetch again later.
        """
        if self._inner is None:
            try:
                await self._reconnect(0.0)
            except KafkaAway:
                # Whoever fetches again at once shall not try without a pause.
                await asyncio.sleep(timeout_ms / 1000)
                raise
        assert self._inner is not None
        try:
            found = await self._inner.getmany(timeout_ms=timeout_ms, max_records=records_max)
        except kafka_errors.OffsetOutOfRangeError as error:
            place, position = next(iter(error.args[0].items()))
            raise PositionLost(place.partition, position) from error
        except kafka_errors.KafkaError as error:
            inner, self._inner = self._inner, None
            await _stop_consumer(inner)
            raise KafkaAway(f"{self._topic}: {said(error)}") from error
        keep_cancelled()
        records = [
            _record(record)
            for place in sorted(found, key=lambda place: place.partition)
            for record in found[place]
        ]
        for record in records:
            self._positions[record.partition] = record.offset + 1
        if records:
            self._heard_at_s = time.monotonic()
            self._behind = None
            self._unanswered = 0
        elif time.monotonic() - self._heard_at_s > self._silence_s:
            await self._check_silence()
            keep_cancelled()
        return records

    async def _check_silence(self) -> None:
        """Tell an empty log from a broker that is away and from a reader that hangs.

        aiokafka's fetcher is known to hang (issue 1154): found behind the same end twice, at the
        same place, it is built anew.
        """
        assert self._inner is not None
        places = {TopicPartition(self._topic, partition) for partition in self._positions}
        try:
            # Half a second of it may pass behind the fetch that is pending on the connection.
            ends = await _within(ANSWER_TIMEOUT_S, self._inner.end_offsets(places))
        except AWAY as error:
            self._unanswered += 1
            if self._unanswered >= UNANSWERED_MAX:
                # aiokafka asks nobody but the brokers that it was told of last: where they moved,
                # only a new client begins with the addresses that it was given.
                inner, self._inner = self._inner, None
                await _stop_consumer(inner)
            raise KafkaAway(f"{self._topic}: {said(error)}") from error
        self._heard_at_s = time.monotonic()
        self._unanswered = 0
        behind = {
            place.partition: self._positions[place.partition]
            for place, end in ends.items()
            if self._positions[place.partition] < end
        }
        # A tail of transaction markers has offsets but no records: the fetcher's own place tells.
        for place in places:
            if place.partition in behind:
                with contextlib.suppress(*AWAY):
                    async with asyncio.timeout(ANSWER_TIMEOUT_S):
                        at = await self._inner.position(place)
                    if at >= ends[place]:
                        behind.pop(place.partition)
        if behind and behind == self._behind:
            log.warning("reader hangs, built anew topic=%s positions=%s", self._topic, behind)
            await self._reconnect(0.0)
        self._behind = behind or None

    async def _reconnect(self, patience_s: float) -> None:
        inner, self._inner = self._inner, None
        await _stop_consumer(inner)
        self._inner = await patiently(self._connect, patience_s)
        self._heard_at_s = time.monotonic()
        self._unanswered = 0

    async def _connect(self) -> AIOKafkaConsumer:
        inner = AIOKafkaConsumer(
            **self._brokers.arguments,
            client_id=self._client_id,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level=self._isolation,
            max_partition_fetch_bytes=self._fetch_bytes,
            request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000),
            retry_backoff_ms=50,
        )
        watchful(inner._client, self._brokers.silences)
        try:
            inner.assign([TopicPartition(self._topic, number) for number in self._positions])
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await unbroken(inner.start)
            for partition, position in self._positions.items():
                inner.seek(TopicPartition(self._topic, partition), position)
        except BaseException:
            await _stop_consumer(inner)
            raise
        return inner


async def _stop_consumer(inner: AIOKafkaConsumer | None) -> None:
    if inner is not None:
        # Its fetcher may end the first one before any connection is closed.
        for stop in (inner.stop, inner._client.close):
            with contextlib.suppress(*AWAY):
                await _within(STOP_TIMEOUT_S, stop())


async def _within(timeout_s: float, asked: Coroutine[Any, Any, Any]) -> Any:  # Any: aiokafka
    """Return what `asked` gives. Raises TimeoutError, and waits for it no longer.

    aiokafka now and then takes a cancellation for itself and waits on, which `asyncio.timeout`
    would wait for; and lets one out that was meant for a fetch, not for whoever waits here.
    """
    task = asyncio.create_task(asked)
    try:
        await asyncio.wait([task], timeout=timeout_s)
        if not task.done() or task.cancelled():
            raise TimeoutError
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(_seen)


def _seen(task: "asyncio.Task[Any]") -> None:
    """Look at an outcome that nobody waits for any more."""
    if not task.cancelled():
        task.exception()


def _record(record: Any) -> Record:  # Any: aiokafka ships no types.
    return Record(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        record.key,
        record.value if record.value is not None else b"",
        tuple(record.headers),
    )

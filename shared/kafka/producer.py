"""Records to Kafka, in order, each acknowledged or known not to be.

What aiokafka 0.14 does that forces a choice here:

- An idempotent producer never gives a batch up, and its `stop()` then hangs for ever. So every
  send has its own limit, and a producer with an unanswered send is torn down, not stopped.
- After a refused record the next one gets `OutOfOrderSequenceNumber`. So one failure ends the
  producer, and what was queued behind it is never sent: no hole in the log.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from aiokafka import errors as kafka_errors

from shared.kafka.brokers import Brokers
from shared.kafka.errors import (
    AWAY,
    PATIENCE_S,
    REQUEST_TIMEOUT_S,
    STOP_TIMEOUT_S,
    KafkaAway,
    SendRefused,
    SendTooLarge,
    patiently,
    said,
    unbroken,
)
from shared.kafka.silence import watchful
from shared.topics import MESSAGE_BYTES_MAX

Headers = Sequence[tuple[str, bytes]]

DELIVERY_TIMEOUT_S = 30.0
"""One record from hand-over to acknowledgement; a broker's restart takes 8 to 14 s."""

_TOO_LARGE = (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError)
# Errors of one record, which the same bytes would meet again.
_REFUSALS = (
    kafka_errors.InvalidMessageError,
    kafka_errors.CorruptRecordException,
    kafka_errors.InvalidTimestampError,
    kafka_errors.InvalidTopicError,
    kafka_errors.TopicAuthorizationFailedError,
)


@dataclass(frozen=True, slots=True)
class Sent:
    """Where an acknowledged record stands. timestamp_ms: append time, or the record's own."""

    partition: int
    offset: int
    timestamp_ms: int


class Producer:
    """An idempotent producer (`acks=all`, nothing compressed, nothing lingers).

    Records of one partition are sent in the order of calls, each after the one before it was
    acknowledged. After the first failure every call raises KafkaAway until `start()` is called
    again; records that waited behind the failed one are not sent. The failed record itself may
    still stand in the log: whoever reads must know a repeat.
    """

    def __init__(
        self,
        brokers: Brokers,
        *,
        client_id: str,
        patience_s: float = PATIENCE_S,
        delivery_timeout_s: float = DELIVERY_TIMEOUT_S,
    ) -> None:
        """Build without connecting. patience_s, delivery_timeout_s: limits of start and of send."""
        self._brokers = brokers
        self._client_id = client_id
        self._patience_s = patience_s
        self._delivery_timeout_s = delivery_timeout_s
        self._inner: AIOKafkaProducer | None = None
        self._failure: Exception | None = None
        self._tails: dict[tuple[str, int], asyncio.Task[Sent]] = {}

    async def start(self) -> None:
        """Connect; also the way back after a failure. Raises KafkaAway."""
        await self._abandon(KafkaAway("the producer was started again"))
        self._inner = await patiently(self._connect, self._patience_s)
        self._failure = None

    async def _connect(self) -> AIOKafkaProducer:
        inner = AIOKafkaProducer(
            **self._brokers.arguments,
            client_id=self._client_id,
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            # The broker's own limit shall decide: it may be larger than the topic table's.
            max_request_size=4 * MESSAGE_BYTES_MAX,
            request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000),
            retry_backoff_ms=50,
        )
        watchful(inner.client, self._brokers.silences)
        try:
            # Without the limit it asks for a producer id for ever, in a loop without a pause.
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await unbroken(inner.start)
        except BaseException:
            await tear_down(inner, is_quiet=not self._tails)
            raise
        return inner

    async def stop(self) -> None:
        """Close within a few seconds; sends without an answer raise KafkaAway."""
        await self._abandon(KafkaAway("the producer was stopped"))

    async def _abandon(self, why: KafkaAway) -> None:
        """Close the connection and see the end of every send that was queued on it."""
        inner, self._inner = self._inner, None
        self._failure = self._failure or why
        await tear_down(inner, is_quiet=not self._tails)
        # None of them may find the next connection open and go out on it, behind a hole.
        if self._tails:
            await asyncio.wait(list(self._tails.values()))

    def send_soon(
        self,
        topic: str,
        *,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
    ) -> Awaitable[Sent]:
        """Queue one record and return at once; the order of calls is kept per partition.

        The caller must await every answer, which raises as `send` does.
        """
        place = (topic, partition)
        task = asyncio.get_running_loop().create_task(
            self._send_after(self._tails.get(place), topic, partition, key, value, headers)
        )
        self._tails[place] = task
        task.add_done_callback(lambda done: self._forget(place, done))
        return task

    async def send(
        self,
        topic: str,
        *,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
    ) -> Sent:
        """Send one record; returns when the broker has acknowledged it.

        Raises SendRefused when this record can never be stored, KafkaAway when the outcome is
        unknown or an earlier send failed; `start()` again after either.
        """
        return await self.send_soon(
            topic, partition=partition, key=key, value=value, headers=headers
        )

    def _forget(self, place: tuple[str, int], done: "asyncio.Task[Sent]") -> None:
        if self._tails.get(place) is done:
            del self._tails[place]

    async def _send_after(
        self,
        previous: "asyncio.Task[Sent] | None",
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
    ) -> Sent:
        if previous is not None:
            await asyncio.wait([previous])
        if self._failure is not None:
            raise KafkaAway(f"an earlier send failed: {self._failure}") from self._failure
        inner = self._inner
        if inner is None:
            raise KafkaAway("the producer is not started")
        try:
            async with asyncio.timeout(self._delivery_timeout_s):
                if partition not in await inner.partitions_for(topic):
                    raise SendRefused(f"topic {topic} has no partition {partition}")
                acknowledged = await inner.send(
                    topic, value, key=key, partition=partition, headers=list(headers)
                )
                sent = await acknowledged
        except SendRefused as error:
            self._failure = error
            raise
        except _TOO_LARGE as error:
            self._failure = error
            raise SendTooLarge(f"{topic}/{partition}: {error or type(error).__name__}") from error
        except _REFUSALS as error:
            self._failure = error
            raise SendRefused(f"{topic}/{partition}: {said(error)}") from error
        except AWAY as error:
            self._failure = error
            raise KafkaAway(f"{topic}/{partition}: {said(error)}") from error
        except asyncio.CancelledError as error:
            # The record may or may not be in the log: what follows it must not go out.
            self._failure = KafkaAway(f"a send was cancelled: {error}")
            raise
        return Sent(sent.partition, sent.offset, sent.timestamp)


async def tear_down(inner: AIOKafkaProducer | None, *, is_quiet: bool) -> None:
    """Close `inner` for good, politely when nothing is in flight (`is_quiet`)."""
    if inner is None:
        return
    if is_quiet:
        with contextlib.suppress(*AWAY):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await inner.stop()
            return
    # From here on private parts: `stop()` would wait for ever for batches that cannot leave.
    inner._closed = True
    accumulator, sender, client = inner._message_accumulator, inner._sender, inner.client
    accumulator.fail_all(kafka_errors.ProducerClosed())
    await client.close()
    # A sender task may wait for a metadata update that nobody makes any more.
    if client._md_update_fut is not None and not client._md_update_fut.done():
        client._md_update_fut.set_result(False)
    if sender.sender_task is not None:
        sender.sender_task.cancel()
        await asyncio.wait([sender.sender_task], timeout=STOP_TIMEOUT_S)
        # What it was sending meanwhile may have made a connection anew.
        await client.close()

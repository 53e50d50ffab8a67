"""The primary's producer: whoever starts it last is the only one whose transactions commit."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka import errors as kafka_errors

from shared.kafka.brokers import Brokers
from shared.kafka.errors import AWAY, REQUEST_TIMEOUT_S, KafkaAway, said, unbroken
from shared.kafka.producer import Sent, tear_down
from shared.kafka.silence import watchful
from shared.topics import Outgoing

TRANSACTION_TIMEOUT_MS = 60_000
"""Long: a broker that stood still shall not end the rightful primary's transaction. The next
primary's `InitProducerId` ends what a dead one left open, so this costs no takeover anything."""
STOP_TIMEOUT_S = 0.5
PARTITION = 0


class Fenced(Exception):
    """The broker refuses this producer for ever: another one took its transactional id.

    Or its transaction timed out: aiokafka cannot tell (KIP-588). Either way it is dead.
    """


class FencedProducer:
    """One life of a transactional producer: `start` once; after any error it is only stopped."""

    def __init__(self, brokers: Brokers, *, client_id: str, transactional_id: str) -> None:
        """Build without connecting."""
        self._brokers = brokers
        self._client_id = client_id
        self._transactional_id = transactional_id
        self._inner: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Take the transactional id (`InitProducerId`): fences whoever had it. Raises KafkaAway."""
        inner = AIOKafkaProducer(
            **self._brokers.arguments,
            client_id=self._client_id,
            transactional_id=self._transactional_id,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            linger_ms=0,
            request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000),
            # Tried again so soon while the broker ends the old transaction.
            retry_backoff_ms=20,
        )
        watchful(inner.client, self._brokers.silences)
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await unbroken(inner.start)
        except AWAY as error:
            await tear_down(inner, is_quiet=False)
            raise KafkaAway(f"{self._transactional_id}: {said(error)}") from error
        except BaseException:
            await tear_down(inner, is_quiet=False)
            raise
        self._inner = inner

    async def commit(self, records: Sequence[Outgoing]) -> list[Sent]:
        """Send `records` in one transaction; returns where they stand once it is committed.

        Raises Fenced, or KafkaAway when the outcome is unknown; only `stop` may follow either.
        """
        inner = self._inner
        if inner is None:
            raise KafkaAway("the producer is not started")
        answers: list[asyncio.Future[Any]] = []  # Any: aiokafka ships no types.
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S + 5):
                await inner.begin_transaction()
                for record in records:
                    answers.append(
                        await inner.send(
                            record.topic, record.value, key=record.key, partition=PARTITION
                        )
                    )
                # A commit says nothing of a send inside it that failed.
                found = await asyncio.gather(*answers)
                await inner.commit_transaction()
        except kafka_errors.ProducerFenced as error:
            raise Fenced(f"{self._transactional_id} belongs to another one by now") from error
        except AWAY as error:
            raise KafkaAway(f"{self._transactional_id}: {said(error)}") from error
        finally:
            for answer in answers:
                answer.add_done_callback(_seen)
        return [Sent(sent.partition, sent.offset, sent.timestamp) for sent in found]

    async def stop(self) -> None:
        """Let go of the connection within half a second; an open transaction stays open."""
        inner, self._inner = self._inner, None
        if inner is None:
            return
        with contextlib.suppress(*AWAY):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await inner.stop()
                return
        await tear_down(inner, is_quiet=False)


def _seen(answer: asyncio.Future[Any]) -> None:
    """Look at an answer that nobody waits for any more."""
    if not answer.cancelled():
        answer.exception()

"""Records whose loss costs only time: sent once each, and nobody waits for them.

A producer of their own, because aiokafka keeps one request in flight per broker: behind records
that wait for all replicas they would come late, and late ticks and heartbeats are lost ones.
"""

import asyncio
import logging

from aiokafka import AIOKafkaProducer

from shared.backoff import waits
from shared.kafka.brokers import Brokers
from shared.kafka.errors import AWAY, REQUEST_TIMEOUT_S, keep_cancelled, said, unbroken
from shared.kafka.producer import tear_down
from shared.kafka.silence import watchful

log = logging.getLogger(__name__)

PENDING_MAX = 64
PARTITION = 0


class Pulse:
    """Sends to partition 0 of one topic (`acks=1`, not idempotent, nothing lingers).

    `run` keeps it connected. lost: records that no broker acknowledged.
    """

    def __init__(self, brokers: Brokers, *, client_id: str, topic: str) -> None:
        """Build without connecting."""
        self._brokers = brokers
        self._client_id = client_id
        self._topic = topic
        self._inner: AIOKafkaProducer | None = None
        self._pending: set[asyncio.Task[None]] = set()
        self._broken = asyncio.Event()
        self.lost = 0

    async def run(self) -> None:
        """Stay connected until cancelled, with growing waits while no broker answers."""
        pauses = waits(longest_s=1.0)
        try:
            while True:
                self._broken.clear()
                try:
                    self._inner = await self._connect()
                except AWAY as error:
                    log.debug("pulse not connected topic=%s error=%s", self._topic, said(error))
                else:
                    pauses = waits(longest_s=1.0)
                    await self._broken.wait()
                await self._disconnect()
                keep_cancelled()
                await asyncio.sleep(next(pauses))
        finally:
            await self._disconnect()

    def send(self, value: bytes, *, key: bytes | None = None) -> bool:
        """Hand over one record; False when that is not possible now, and it is lost."""
        inner = self._inner
        if inner is None or len(self._pending) >= PENDING_MAX:
            self.lost += 1
            return False
        task = asyncio.create_task(self._send(inner, key, value))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
        return True

    async def _send(self, inner: AIOKafkaProducer, key: bytes | None, value: bytes) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                acknowledged = await inner.send(self._topic, value, key=key, partition=PARTITION)
                await acknowledged
        except AWAY:
            self.lost += 1
            self._broken.set()

    async def _connect(self) -> AIOKafkaProducer:
        inner = AIOKafkaProducer(
            **self._brokers.arguments,
            client_id=self._client_id,
            acks=1,
            linger_ms=0,
            request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000),
            retry_backoff_ms=50,
        )
        watchful(inner.client, self._brokers.silences)
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await unbroken(inner.start)
        except BaseException:
            await tear_down(inner, is_quiet=False)
            raise
        return inner

    async def _disconnect(self) -> None:
        inner, self._inner = self._inner, None
        pending = list(self._pending)
        await tear_down(inner, is_quiet=not pending)
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending)

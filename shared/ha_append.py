"""Decisions to `ha.log`: one at a time, each acknowledged by all replicas or said to be unknown."""

import asyncio

from shared.kafka import Brokers, KafkaAway, Producer, SendRefused, Sent
from shared.roles.records import Record, encode_record

DELIVERY_TIMEOUT_S = 10.0
_PATIENCE_S = 2.0
_PARTITION = 0


class Appender:
    """Appends records; a producer that failed is started again by the next call."""

    def __init__(self, brokers: Brokers, *, client_id: str, topic: str) -> None:
        """Build without connecting."""
        self._topic = topic
        self._producer = Producer(
            brokers,
            client_id=client_id,
            patience_s=_PATIENCE_S,
            delivery_timeout_s=DELIVERY_TIMEOUT_S,
        )
        self._works = False
        self._turn = asyncio.Lock()

    async def be_ready(self) -> None:
        """Connect before there is anything to append. Raises KafkaAway.

        A broker whose controller died gives no producer id until it knows the next controller.
        """
        async with self._turn:
            await self._start()

    async def append(self, record: Record) -> Sent:
        """Append `record`. Raises KafkaAway: it may stand in the log, or come there late."""
        async with self._turn:
            await self._start()
            try:
                return await self._producer.send(
                    self._topic, partition=_PARTITION, key=None, value=encode_record(record)
                )
            except SendRefused as error:
                self._works = False
                raise KafkaAway(str(error)) from error
            except BaseException:
                self._works = False
                raise

    async def _start(self) -> None:
        if not self._works:
            await self._producer.start()
            self._works = True

    async def stop(self) -> None:
        """Close the connection."""
        await self._producer.stop()

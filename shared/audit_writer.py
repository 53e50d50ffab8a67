"""Appends to topic `audit`, also where nobody is primary."""

import asyncio
import logging

from shared.audit import Audited, encode_audited
from shared.kafka import (
    Brokers,
    KafkaAway,
    Producer,
    SendRefused,
    TopicRefused,
    ensure_topics,
)
from shared.topics import AUDIT, Topic

log = logging.getLogger(__name__)

PATIENCE_S = 3.0
DELIVERY_TIMEOUT_S = 5.0


class AuditWriter:
    """One connection, opened when there is something to write."""

    def __init__(self, brokers: Brokers, *, client_id: str, topic: Topic = AUDIT) -> None:
        """Build without connecting."""
        self._producer = Producer(
            brokers,
            client_id=f"{client_id}-audit",
            patience_s=PATIENCE_S,
            delivery_timeout_s=DELIVERY_TIMEOUT_S,
        )
        self._brokers, self._topic = brokers, topic
        self._is_started = False
        self._turn = asyncio.Lock()
        self._failures = 0

    async def note(self, audited: Audited) -> bool:
        """Append; False where it could not be, which the log of this process then says.

        Whoever waited while the one before could not be written is not tried: else each in a long
        line would wait for a Kafka that is away as long as the first.
        """
        failures = self._failures
        async with self._turn:
            if failures != self._failures:
                log.error("not in the record: %s by %s", audited.what, audited.by)
                return False
            try:
                if not self._is_started:
                    await ensure_topics(self._brokers, [self._topic], patience_s=PATIENCE_S)
                    await self._producer.start()
                    self._is_started = True
                await self._producer.send(
                    self._topic.name, partition=0, key=None, value=encode_audited(audited)
                )
            except (KafkaAway, SendRefused, TopicRefused) as error:
                # One that is refused for itself says nothing of those behind it.
                self._failures += not isinstance(error, SendRefused)
                self._is_started = False
                log.error("not in the record: %s by %s: %s", audited.what, audited.by, error)
                return False
        return True

    async def stop(self) -> None:
        """Close the connection."""
        await self._producer.stop()

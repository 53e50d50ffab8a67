"""Puts this central's records on topic `digests`."""

import asyncio
from collections.abc import Sequence

from shared.digest_records import DigestRecord, Gone, encode_digest, period_key
from shared.kafka import Brokers, Producer
from shared.topics import Topic


class Sender:
    """A producer that is connected anew after a failure."""

    def __init__(self, brokers: Brokers, *, client_id: str, topic: Topic) -> None:
        """Build without connecting."""
        self._producer = Producer(brokers, client_id=client_id)
        self._topic = topic.name
        self._is_started = False
        self._turn = asyncio.Lock()

    async def send(self, records: Sequence[DigestRecord]) -> int:
        """Send `records` in order; returns the offset behind them once all are acknowledged.

        Raises KafkaAway or SendRefused: some of the first may stand there then, and none of those
        behind the first that does not.
        """
        async with self._turn:
            if not self._is_started:
                await self._producer.start()
                self._is_started = True
            answers = await asyncio.gather(
                *(
                    self._producer.send_soon(self._topic, partition=0, key=key, value=value)
                    for key, value in map(_encoded, records)
                ),
                return_exceptions=True,
            )
            end_offset = 0
            for answer in answers:
                if isinstance(answer, BaseException):
                    self._is_started = False
                    raise answer
                end_offset = answer.offset + 1
            return end_offset

    async def stop(self) -> None:
        """Close within a few seconds."""
        await self._producer.stop()


def _encoded(record: DigestRecord) -> tuple[bytes, bytes | None]:
    if isinstance(record, Gone):
        return period_key(record.central, record.period), None
    return encode_digest(record)

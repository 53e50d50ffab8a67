"""Reading one minute of a stream again from topic `flows`."""

import asyncio
from collections.abc import Callable, Sequence

from services.central.messages import Place, examine
from services.central.proof.log_minute import LogMinute
from shared.digest_records import Period
from shared.kafka import Brokers, PartitionFacts, Reader, Record, offsets_since, partition_facts

MARGIN_MS = 600_000
"""How far a collector's clock may be ahead of the broker's before all of the log is read."""
FETCH_MS = 500
RECORDS_MAX = 64


async def read_minute(
    brokers: Brokers, topic: str, client_id: str, minute: Period, partition: int
) -> LogMinute:
    """Return what the log holds of `minute`; `refusal` says why that is not all of it.

    partition: where its stream is; -1 where that is not known. Raises KafkaAway, PositionLost.
    """
    facts = [
        fact for fact in await partition_facts(brokers, topic) if partition in (-1, fact.partition)
    ]
    since = await offsets_since(brokers, topic, minute.starts_ms - MARGIN_MS)
    near = {f.partition: max(f.start_offset, since.get(f.partition, 0)) for f in facts}
    whole_log = {fact.partition: fact.start_offset for fact in facts}
    found = LogMinute(minute)
    for positions in (near, whole_log):
        found = LogMinute(minute)
        reader = Reader(brokers, client_id=client_id, topic=topic)
        await reader.start(positions)
        try:
            await _read(reader, facts, found)
        finally:
            await reader.stop()
        if found.is_whole or found.refusal or positions == whole_log:
            break
    if not found.is_whole:
        found.refusal = found.refusal or "Kafka no longer holds the minute from its beginning"
    elif not found.is_done:
        found.refusal = found.refusal or "Kafka does not hold the minute to its end"
    return found


async def _read(reader: Reader, facts: Sequence[PartitionFacts], found: LogMinute) -> None:
    ids = {fact.partition: fact.topic_id for fact in facts}

    def take(records: Sequence[Record]) -> Callable[[], None]:
        def work() -> None:
            for record in records:
                place = Place(
                    ids[record.partition], record.partition, record.offset, record.timestamp_ms
                )
                found.take(examine(place, record.headers, record.value))

        return work

    while not (found.is_done or found.refusal):
        places = reader.positions
        if all(places[fact.partition] >= fact.end_offset for fact in facts):
            return
        records = await reader.fetch(timeout_ms=FETCH_MS, records_max=RECORDS_MAX)
        await asyncio.to_thread(take(records))

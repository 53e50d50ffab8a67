"""What stands in a topic: its end, its size on the broker's disk, and what our messages say."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from shared.flow_message import decode_headers
from shared.kafka import Brokers, Reader, partition_facts

_FETCH_MS = 200
_RECORDS_MAX = 50


@dataclass(frozen=True, slots=True)
class FlowsRead:
    """What messages of topic `flows` say of themselves. lost: datagrams named as lost."""

    messages: int
    rows: int
    bytes: int
    lost: int


def end_offsets(broker: str, topic: str) -> dict[int, int]:
    """Return the end of each partition; empty without the topic."""
    facts = asyncio.run(partition_facts(Brokers(broker), topic))
    return {fact.partition: fact.end_offset for fact in facts}


def log_bytes(data: Path, topic: str) -> int:
    """Return the bytes of a topic's log segments in the broker's folder, without indexes."""
    return sum(
        file.stat().st_size
        for folder in data.glob(f"{topic}-[0-9]*")
        for file in folder.glob("*.log")
    )


def read_flows(broker: str, topic: str, start: dict[int, int], end: dict[int, int]) -> FlowsRead:
    """Read the messages between two ends of `flows`."""
    return asyncio.run(_read_flows(broker, topic, start, end))


async def _read_flows(
    broker: str, topic: str, start: dict[int, int], end: dict[int, int]
) -> FlowsRead:
    positions = {number: start.get(number, 0) for number in end}
    left = {number for number in end if positions[number] < end[number]}
    messages = rows = size = lost = 0
    reader = Reader(Brokers(broker), client_id="bench", topic=topic)
    await reader.start({number: positions[number] for number in left})
    try:
        while left:
            for record in await reader.fetch(timeout_ms=_FETCH_MS, records_max=_RECORDS_MAX):
                if record.offset >= end[record.partition]:
                    continue
                said = decode_headers(record.headers)
                messages += 1
                rows += said.rows
                size += len(record.value)
                lost += sum(loss.datagrams for loss in said.losses)
            left = {number for number in left if reader.positions[number] < end[number]}
    finally:
        await reader.stop()
    return FlowsRead(messages, rows, size, lost)

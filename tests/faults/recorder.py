"""Keeps `ha.log` as it was written, though its old records are deleted, and reads what stays."""

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from services.central.roles.outbox import decode_item
from services.registry.committed import read_history, read_to_end
from shared.kafka import Brokers, KafkaAway, Reader, Record, first_partition_facts
from shared.roles.cluster import decode_roles
from shared.roles.records import decode_record
from shared.topics import HA_HISTORY, HA_LOG, HA_ROLES, OUTBOX, Topic
from tests import loops
from tests.faults.checker import Logged, Recorded, Sighting
from tests.faults.places import Place

CLIENT_ID = "recorder"
DEADLINE_S = 120.0


class Recorder:
    """What was read of `ha.log` so far. Made by `recording`."""

    def __init__(self, brokers: Brokers) -> None:
        self._brokers = brokers
        self._is_over = threading.Event()
        self.log: list[Logged] = []
        self._pool = ThreadPoolExecutor(1)
        self._reading = self._pool.submit(loops.run, self._read())

    def end(self) -> None:
        """Read to where the log ends now. Raises whatever the reading failed with."""
        self._is_over.set()
        self._reading.result()
        self._pool.shutdown()

    async def _read(self) -> None:
        reader = Reader(self._brokers, client_id=CLIENT_ID, topic=HA_LOG.name)
        await reader.start({0: 0})
        end_offset: int | None = None
        deadline_s = math.inf
        try:
            while end_offset is None or reader.positions[0] < end_offset:
                if end_offset is None and self._is_over.is_set():
                    facts = await first_partition_facts(self._brokers, HA_LOG.name)
                    end_offset = facts.end_offset
                    deadline_s = time.monotonic() + DEADLINE_S
                if time.monotonic() > deadline_s:
                    raise TimeoutError(f"{HA_LOG.name} is not read to its end, {end_offset}")
                try:
                    read = await reader.fetch(timeout_ms=500, records_max=5_000)
                except KafkaAway:
                    await asyncio.sleep(0.1)
                    continue
                self.log += [_logged(record) for record in read]
        finally:
            await reader.stop()

    def recorded(self, sightings: Sequence[Sighting]) -> Recorded:
        """Return the run, once `end` has been called and while the broker still runs."""
        return loops.run(self._recorded(sightings))

    async def _recorded(self, sightings: Sequence[Sighting]) -> Recorded:
        brokers = self._brokers
        history, _ = await read_history(brokers, client_id=CLIENT_ID, topic=HA_HISTORY.name)
        return Recorded(
            log=self.log,
            roles=[decode_roles(each.value) for each in await _committed(brokers, HA_ROLES)],
            outbox=[decode_item(each.value) for each in await _committed(brokers, OUTBOX)],
            history=history,
            sightings=sightings,
        )


@contextlib.contextmanager
def recording(brokers: Brokers) -> Iterator[Recorder]:
    """A recorder that reads while the block lasts, at the longest."""
    # While a broker is away, aiokafka tells of every try.
    aiokafka = logging.getLogger("aiokafka")
    level = aiokafka.level
    aiokafka.setLevel(logging.CRITICAL)
    recorder = Recorder(brokers)
    try:
        yield recorder
    finally:
        recorder.end()
        aiokafka.setLevel(level)


@contextlib.contextmanager
def recording_from(place: Place, brokers: Brokers) -> Iterator[Recorder]:
    """The same, from another place."""
    with contextlib.ExitStack() as stack:
        with place.inside():
            recorder = stack.enter_context(recording(brokers))
        yield recorder


def _logged(read: Record) -> Logged:
    return Logged(decode_record(read.value), read.offset, read.timestamp_ms)


async def _committed(brokers: Brokers, topic: Topic) -> list[Record]:
    reader = Reader(brokers, client_id=CLIENT_ID, topic=topic.name, read_committed=True)
    try:
        return [
            record
            async for records in read_to_end(reader, brokers, topic.name)
            for record in records
        ]
    finally:
        await reader.stop()

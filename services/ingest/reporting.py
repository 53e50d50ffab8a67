"""Says on topic `collectors` every few seconds what each worker does."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from services.ingest.counted import COUNTED, counts
from services.ingest.holder import Holder
from services.ingest.known_roles import KnownRoles
from services.ingest.pace import Pace, paced
from shared.backoff import waits
from shared.collectors import NO_EPOCH, CollectorRecord, encode_collector
from shared.kafka import KafkaAway, Pulse, TopicRefused, configured_brokers, ensure_topics
from shared.roles.cluster import ClusterRoles
from shared.topics import COLLECTORS, Topic

log = logging.getLogger(__name__)

EVERY_S: Final = 5.0


class Reporting:
    """Sends a record of each worker of one collector; those that reach no broker are lost."""

    def __init__(
        self,
        holder: Holder,
        known: KnownRoles,
        *,
        version: str,
        now_ms: Callable[[], int],
        topic: Topic = COLLECTORS,
    ) -> None:
        """Build without connecting. now_ms: wall clock, UTC."""
        self._holder = holder
        self._known = known
        self._version = version
        self._now_ms = now_ms
        self._started_at_ms = now_ms()
        self._topic = topic
        self._paces: dict[tuple[str, str], Pace | None] = {}
        config = holder.config
        self._brokers = configured_brokers(config)
        self._pulse = Pulse(self._brokers, client_id=f"{config.name}-heartbeat", topic=topic.name)

    @property
    def lost(self) -> int:
        """Records that no broker acknowledged."""
        return self._pulse.lost

    async def run(self) -> None:
        """Send until cancelled, as soon as there is a broker."""
        await self._make_topic()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pulse.run())
            # Rates are counted from the first look on.
            await asyncio.to_thread(self._look)
            while True:
                await asyncio.sleep(EVERY_S)
                for record in await asyncio.to_thread(self._look):
                    key, value = encode_collector(record)
                    self._pulse.send(value, key=key)

    async def _make_topic(self) -> None:
        for wait_s in waits():
            try:
                return await ensure_topics(self._brokers, [self._topic])
            except (KafkaAway, TopicRefused) as error:
                log.warning("no heartbeats yet error=%s", error)
            await asyncio.sleep(wait_s)

    def _look(self) -> list[CollectorRecord]:
        """Return what each worker does now, from the files of its processes."""
        now_ms = self._now_ms()
        status = self._holder.status()
        records = []
        for worker in status["workers"]:
            key = worker["key"]
            told = counts(self._holder.config.worker_dir(worker["worker"]))
            for name in COUNTED:
                before = self._paces.get((key, name))
                self._paces[key, name] = paced(before, told[name], now_s=now_ms / 1000)
            records.append(
                record_of(
                    status,
                    worker,
                    rates={name: per_s(self._paces[key, name]) for name in COUNTED},
                    roles=self._known.roles,
                    version=self._version,
                    at_ms=now_ms,
                    started_at_ms=self._started_at_ms,
                )
            )
        return records


def per_s(pace: Pace | None) -> float | None:
    """Return a rate as it is sent; None where it is unknown."""
    return None if pace is None or pace.per_s is None else round(pace.per_s, 2)


def record_of(
    status: Mapping[str, Any],  # JSON of `/api/v1/status`
    worker: Mapping[str, Any],  # one of its workers
    *,
    rates: Mapping[str, float | None],
    roles: ClusterRoles | None,
    version: str,
    at_ms: int,
    started_at_ms: int,
) -> CollectorRecord:
    """Return the record of a worker."""
    received, acknowledged = worker["last_received"], worker["last_acknowledged"]
    is_same_stream = received["stream"] == acknowledged["stream"]
    reasons = {
        name: why
        for name, why in status["reasons"].items()
        if name in (f"receiver-{worker['worker']}", f"decoder-{worker['worker']}")
    }
    return CollectorRecord(
        worker=worker["key"],
        collector=status["name"],
        version=version,
        at_ms=at_ms,
        started_at_ms=started_at_ms,
        flows_per_s=rates["flows"],
        datagrams_per_s=rates["datagrams"],
        spool_bytes=worker["spool_bytes"],
        unread_datagrams=worker["unread_datagrams"],
        lag_s=worker["decoder"].get("lag_s"),
        stream=received["stream"] or "",
        received=received["number"] or 0,
        # The decoder may still be in an earlier stream.
        acknowledged=(acknowledged["number"] or 0) if is_same_stream else 0,
        primary="" if roles is None else roles.primary,
        epoch=NO_EPOCH if roles is None else roles.epoch,
        udp=status["udp"],
        ready=not reasons,
        reasons=reasons,
    )

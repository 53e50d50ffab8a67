"""Tells `ha.log` of centrals that this launcher saw end, so that nobody waits for their silence."""

import asyncio

from shared.kafka import Brokers, Pulse
from shared.roles.records import DeathNotice, encode_record
from shared.tasks import end_task
from shared.topics import HA_LOG

_SEEN_BY = "up"


class DeathNotices:
    """Connected all the time: a connection made only when it is needed would cost half of it.

    A notice that is lost costs time, and no more: silence says the same seconds later.
    """

    def __init__(self) -> None:
        """Connect only in `begin`: the broker may have to be started first."""
        self._pulse: Pulse | None = None
        self._running: asyncio.Task[None] | None = None

    def begin(self, brokers: Brokers) -> None:
        """Connect, now and whenever the connection broke, until `stop`."""
        self._pulse = Pulse(brokers, client_id="up", topic=HA_LOG.name)
        self._running = asyncio.create_task(self._pulse.run())

    def send(self, incarnation: str) -> None:
        """Say that `incarnation` ended. Never waits."""
        if self._pulse is not None:
            self._pulse.send(encode_record(DeathNotice(incarnation, _SEEN_BY)))

    async def stop(self) -> None:
        """Close the connection."""
        if self._running is not None:
            await end_task(self._running)

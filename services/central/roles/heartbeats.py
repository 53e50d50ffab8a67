"""The heartbeats of one central: what it says about itself on `ha.log`."""

from collections.abc import Callable

from services.central.roles.role import Progress, Role
from shared.kafka import Brokers, Pulse
from shared.roles.acting import HeartbeatSent, barrier_number
from shared.roles.records import Heartbeat, encode_record


class Heartbeats:
    """Numbers and sends them; nobody waits for an answer."""

    def __init__(
        self,
        brokers: Brokers,
        *,
        topic: str,
        role: Role,
        url: Callable[[], str],
        priority: int,
        copies_only: bool,
        progress: Callable[[], Progress],
        take_has_acted: Callable[[], bool],
    ) -> None:
        """Build without connecting.

        take_has_acted: whether it committed since it was asked.
        """
        self._pulse = Pulse(brokers, client_id=f"{role.node}-pulse", topic=topic)
        self._role = role
        self._url, self._priority, self._copies_only = url, priority, copies_only
        self._progress = progress
        self._take_has_acted = take_has_acted
        self._number = 0

    @property
    def lost(self) -> int:
        """Those that no broker acknowledged."""
        return self._pulse.lost

    async def run(self) -> None:
        """Have them sent until cancelled."""
        await self._pulse.run()

    def send(self) -> None:
        """Send one now."""
        self._number += 1
        acting, progress = self._role.acting, self._progress()
        heartbeat = Heartbeat(
            node=self._role.node,
            incarnation=acting.incarnation,
            epoch=acting.roles.epoch,
            acknowledged_ticks=acting.roles.ticks,
            number=self._number,
            priority=self._priority,
            position=progress.position,
            lag_s=progress.lag_s,
            is_fit=progress.is_fit,
            has_acted=self._take_has_acted(),
            barrier=barrier_number(acting),
            url=self._url(),
            lag_records=progress.lag_records,
            copies_only=self._copies_only,
        )
        self._role.note(HeartbeatSent(self._number, self._role.clocks.boot_s()))
        self._pulse.send(encode_record(heartbeat))

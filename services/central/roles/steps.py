"""The steps of a promotion or a handover: each that is owed is taken once, and again if lost."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from services.central.roles.metrics import RolesMetrics
from services.central.roles.role import Role
from shared.kafka import KafkaAway, SendRefused
from shared.roles.acting import ActingFailed, Step, StepDone, owed

log = logging.getLogger(__name__)

AGAIN_S: Final = 1.5
"""A claim or a handover that was not read back for so long is appended again."""
AFTER_FAILURE_S: Final = 0.1
_READ_BACK: Final = (Step.HAND_OVER, Step.CLAIM)


class Steps:
    """Takes what `shared.roles.acting.owed` names, once per promotion, phase and epoch."""

    def __init__(
        self,
        role: Role,
        *,
        at_once: Mapping[Step, Callable[[], None]],
        lasting: Mapping[Step, Callable[[], Awaitable[object]]],
        when_moved: Callable[[], None],
        metrics: RolesMetrics,
    ) -> None:
        """at_once, lasting: how each step is taken. when_moved: called before a step is chosen.

        A lasting one ends well, or raises KafkaAway or SendRefused.
        """
        self._role = role
        self._at_once, self._lasting = at_once, lasting
        self._when_moved = when_moved
        self._metrics = metrics
        self._taken: tuple[Step, int, int] | None = None
        self._task: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None

    def drive(self) -> None:
        """Begin the step that is owed now, unless it was begun."""
        self._when_moved()
        acting = self._role.acting
        step = owed(acting)
        taken = (step, acting.promotion, acting.roles.epoch)
        if taken == self._taken:
            return
        self._taken = taken
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if step is Step.BE_REBORN:
            self._role.be_reborn()
            log.warning("was taken for dead, goes on as %s", self._role.acting.incarnation)
            self.drive()
        elif (act := self._at_once.get(step)) is not None:
            act()
        elif (work := self._lasting.get(step)) is not None:
            if self._task is not None:
                self._task.cancel()
            self._task = asyncio.create_task(self._take(step, work, acting.promotion))

    def done(self, step: Step, promotion: int) -> None:
        """A step of `promotion` ended well."""
        self._role.note(StepDone(step, promotion))
        self.drive()

    def failed(self, promotion: int) -> None:
        """Something of `promotion` failed: the same again, where the role was not lost with it."""
        self._role.note(ActingFailed(promotion))
        asyncio.get_running_loop().call_later(AFTER_FAILURE_S, self._take_again)

    def begin_again(self) -> None:
        """Forget what was taken: the log is another one."""
        self._taken = None

    async def stop(self) -> None:
        """End what is under way."""
        if self._retry is not None:
            self._retry.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _take(
        self, step: Step, work: Callable[[], Awaitable[object]], promotion: int
    ) -> None:
        clock_s = self._role.clocks.boot_s
        started_s = clock_s()
        try:
            await work()
        except (KafkaAway, SendRefused) as error:
            log.warning("step failed step=%r error=%s", step.value, error)
            self.failed(promotion)
            return
        spent_s = clock_s() - started_s
        self._metrics.step_s.labels(step.name.lower()).observe(spent_s)
        log.info("step=%r promotion=%d ms=%.0f", step.value, promotion, spent_s * 1000)
        if step in _READ_BACK:
            self._retry = asyncio.get_running_loop().call_later(AGAIN_S, self._take_again)
        else:
            self.done(step, promotion)

    def _take_again(self) -> None:
        """Take the step once more that is still owed: its record may be lost."""
        self._taken = None
        self.drive()

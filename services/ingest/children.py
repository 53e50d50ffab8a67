"""Keeping a child process running: start, watch, start again, stop."""

import asyncio
import logging
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.backoff import waits

log = logging.getLogger(__name__)

STEADY_S = 30.0
"""A child that ran so long had a good start: the waits between restarts begin anew."""


@dataclass(frozen=True, slots=True)
class ChildPlan:
    """How a child is started; files: descriptors that it inherits under the same numbers."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    files: tuple[int, ...] = ()


class Child:
    """One process that is started again whenever it ends, until `stop`.

    pid: of the running process, None between two. restarts: how often it was started again.
    """

    def __init__(self, plan: ChildPlan) -> None:
        """Start nothing yet."""
        self.plan = plan
        self.restarts = 0
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """Pid of the running process."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def keep(self) -> None:
        """Run the child until `stop`, with growing waits between its ends."""
        pauses = waits(first_s=0.05, longest_s=5.0)
        while not self._stopping.is_set():
            started_s = time.monotonic()
            self._process = await self._start()
            code = await self._process.wait()
            if self._stopping.is_set():
                return
            log.error("child ended name=%s pid=%d code=%d", self.plan.name, self._process.pid, code)
            if time.monotonic() - started_s > STEADY_S:
                pauses = waits(first_s=0.05, longest_s=5.0)
            try:
                await asyncio.wait_for(self._stopping.wait(), next(pauses))
            except TimeoutError:
                self.restarts += 1

    async def stop(self, timeout_s: float) -> None:
        """Ask the child to end, and kill it when it has not after `timeout_s`."""
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), timeout_s)
        except TimeoutError:
            log.error("child did not end in time name=%s pid=%d", self.plan.name, process.pid)
            process.kill()
            await process.wait()

    async def _start(self) -> asyncio.subprocess.Process:
        # A session of its own: Ctrl-C reaches the holder alone, which stops its children in order.
        return await asyncio.create_subprocess_exec(
            *self.plan.command,
            stdin=subprocess.DEVNULL,
            env=dict(self.plan.environment),
            pass_fds=self.plan.files,
            start_new_session=True,
        )

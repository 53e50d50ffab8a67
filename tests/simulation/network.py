"""Time, and what lies between processes and the broker: delay, loss, repetition, deafness."""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from shared.testing.memory_broker import MemoryBroker

START_AT_MS = 1_700_000_000_000
LOSSY_UNTIL_MS = 4_000
"""Until then single messages are lost, late or repeated, and faults begin."""
FAULTS_END_MS = 6_500
"""No fault lasts longer, but for a process that is stopped in the middle of a step."""

Action = Callable[..., object]


@dataclass(slots=True, eq=False)
class Process:
    """Whoever speaks with the broker. A new life hears nothing that an earlier one asked for.

    blind_until_ms: it can read no topic before.
    """

    name: str
    alive: bool = True
    life: int = 1
    paused_until_ms: int = 0
    mute_until_ms: int = 0
    deaf_until_ms: int = 0
    blind_until_ms: int = 0

    def pause(self, until_ms: int) -> None:
        self.paused_until_ms = max(self.paused_until_ms, until_ms)
        self.hang(until_ms)

    def deafen(self, until_ms: int) -> None:
        self.deaf_until_ms = max(self.deaf_until_ms, until_ms)
        self.hang(until_ms)

    def hang(self, until_ms: int) -> None:
        """Let its readers hang, while all else goes on."""
        self.blind_until_ms = max(self.blind_until_ms, until_ms)


class Network:
    """Events in true time, ms.

    calm_from_ms: by then all faults known so far have ended. step_ms: of the broker's clock.
    """

    def __init__(self, rng: random.Random, broker: MemoryBroker, *, has_faults: bool) -> None:
        self.random = rng.random
        self.broker = broker
        self.now_ms = 0
        self.lossy_until_ms = LOSSY_UNTIL_MS if has_faults else 0
        self.calm_from_ms = self.lossy_until_ms
        self.step_ms = 0
        self.is_over = False
        self._queue: list[tuple[int, int, Action, tuple[Any, ...]]] = []
        self._order = 0
        self._frozen_until_ms = 0

    def draw(self, low: int, high: int) -> int:
        return low + int(self.random() * (high - low))

    def at(self, delay_ms: int, action: Action, *arguments: Any) -> None:
        self._order += 1
        heapq.heappush(self._queue, (self.now_ms + delay_ms, self._order, action, arguments))

    def run(self, bound_ms: int) -> None:
        """Run until `is_over`, for `bound_ms` after the last fault at most."""
        queue, pop = self._queue, heapq.heappop
        while not self.is_over:
            self.now_ms, _, action, arguments = pop(queue)
            if self.now_ms > self.calm_from_ms + bound_ms:
                return
            action(*arguments)

    def lasts(self, until_ms: int) -> int:
        """Note that a fault lasts so long."""
        self.calm_from_ms = max(self.calm_from_ms, until_ms)
        return until_ms

    @property
    def is_lossy(self) -> bool:
        return self.now_ms < self.lossy_until_ms

    @property
    def broker_ms(self) -> int:
        return START_AT_MS + self.now_ms + self.step_ms

    # To the broker and back.

    def reaches(
        self, sender: Process, action: Action, *arguments: Any, repeats: bool = False
    ) -> bool:
        """Send something to the broker; False when it is lost on the way."""
        if self.now_ms < sender.mute_until_ms:
            return False
        random = self.random
        delay_ms = 1 + int(random() * 11)
        if self.now_ms < self.lossy_until_ms:
            chance = random()
            if chance < 0.03:
                return False
            if chance < 0.08:
                delay_ms = self.draw(12, 600)
            if repeats and random() < 0.02:
                self.at(delay_ms + self.draw(1, 50), self.arrive, action, *arguments)
        self.at(delay_ms, self.arrive, action, *arguments)
        return True

    def arrive(self, action: Action, *arguments: Any) -> None:
        self.broker.now_ms = START_AT_MS + self.now_ms + self.step_ms
        self.broker.handle(partial(action, *arguments))

    def freeze(self, until_ms: int) -> None:
        self._frozen_until_ms = max(self._frozen_until_ms, until_ms)
        self.broker.freeze()
        self.at(until_ms - self.now_ms, self._thaw)

    def _thaw(self) -> None:
        if self.now_ms >= self._frozen_until_ms:
            self.broker.now_ms = self.broker_ms
            self.broker.thaw()

    def answer(self, process: Process, action: Action, *arguments: Any) -> None:
        """Let the broker's answer reach a process, unless it is deaf or lives another life."""
        self.at(1 + int(self.random() * 7), self._deliver, process, process.life, action, arguments)

    def _deliver(
        self, process: Process, life: int, action: Action, arguments: tuple[Any, ...]
    ) -> None:
        if self.now_ms >= process.deaf_until_ms:
            self._wake(process, life, action, arguments)

    def later(self, delay_ms: int, process: Process, action: Action, *arguments: Any) -> None:
        """Let a process do something of its own, once it is not stopped."""
        self.at(delay_ms, self._wake, process, process.life, action, arguments)

    def _wake(
        self, process: Process, life: int, action: Action, arguments: tuple[Any, ...]
    ) -> None:
        if process.life != life or not process.alive:
            return
        if self.now_ms < process.paused_until_ms:
            wait_ms = process.paused_until_ms - self.now_ms
            self.at(wait_ms, self._wake, process, life, action, arguments)
            return
        action(*arguments)

    def can_read(self, process: Process) -> bool:
        return self.now_ms >= process.blind_until_ms and process.alive and not self.broker.is_frozen

    def sees_again_in_ms(self, process: Process) -> int:
        """Return after how long `can_read` may hold again."""
        return max(process.blind_until_ms, self._frozen_until_ms, self.now_ms) - self.now_ms + 1

"""Which worker runs which file of tests.

A test of a whole system waits for most of its time: two of those at once leave some of the machine
to others, three would starve each other. Further workers run only what starts no system, and give
way to those that do.
"""

import os
from pathlib import Path

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

NICE = 15
_SYSTEMS_AT_ONCE = 2
_LONGEST = (
    "trouble", "whole_machines", "join", "faults", "pages", "kill", "scenarios", "enable",
    "switched_off", "rolling_upgrade", "exporters", "takeover", "demo", "launcher",
)  # fmt: skip
"""By their minutes: two workers end together when no long file begins last."""


def fills(worker: str) -> bool:
    """Whether a worker, `gw0` and so on, is one of those that start no system."""
    return int(worker.removeprefix("gw")) >= _SYSTEMS_AT_ONCE


def give_way(worker: str) -> None:
    """Have this process, and what it starts, take what others leave, if it is such a worker."""
    if fills(worker):
        os.nice(NICE)


def begins(file: Path, *, is_slow: bool) -> tuple[bool, int]:
    """Return what files are sorted by: first those that take longest."""
    name = file.stem.removeprefix("test_")
    place = _LONGEST.index(name) if is_slow and name in _LONGEST else len(_LONGEST)
    return not is_slow, place


class Schedule(LoadFileScheduling):  # type: ignore[misc]  # it has no types
    """Files in the order in which they were collected, those that are not slow to any worker."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        if fills(node.gateway.id):
            short = next((file for file in self.workqueue if not self._is_slow(file)), None)
            if short is None:
                node.shutdown()
                return
            self.workqueue.move_to_end(short, last=False)
        super()._assign_work_unit(node)

    def _is_slow(self, file: str) -> bool:
        # Only workers collect tests and know their marks.
        return "mark.slow" in (self.config.rootpath / file).read_text()

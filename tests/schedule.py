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
    "join", "trouble", "whole_machines", "pages", "faults", "kill", "scenarios",
    "switched_off", "one_system", "rolling_upgrade", "exporters", "demo",
)  # fmt: skip
"""By their minutes: two workers end together when no long file begins last."""
_ONE_SYSTEM = "one_system"
_ITS_FILES = ("live", "takeover", "launcher")
"""In this order: a window of five minutes is to hold one file's flows, and the last ends all."""


def fills(worker: str) -> bool:
    """Whether a worker, `gw0` and so on, is one of those that start no system."""
    return int(worker.removeprefix("gw")) >= _SYSTEMS_AT_ONCE


def give_way(worker: str) -> None:
    """Have this process, and what it starts, take what others leave, if it is such a worker."""
    if fills(worker):
        os.nice(NICE)


def begins(file: Path, *, is_slow: bool) -> tuple[bool, int, int]:
    """Return what files are sorted by: first those that take longest."""
    name = file.stem.removeprefix("test_")
    group = _ONE_SYSTEM if file.parent.name == _ONE_SYSTEM else name
    place = _LONGEST.index(group) if is_slow and group in _LONGEST else len(_LONGEST)
    return not is_slow, place, _ITS_FILES.index(name) if group == _ONE_SYSTEM else 0


class Schedule(LoadFileScheduling):  # type: ignore[misc]  # it has no types
    """Files in the order in which they were collected, those that are not slow to any worker.

    The files that share one system are one piece of work.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        folder, _, _name = file.rpartition("/")
        return folder if folder.endswith(f"/{_ONE_SYSTEM}") else file

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
        place = self.config.rootpath / file
        return place.is_dir() or "mark.slow" in place.read_text()

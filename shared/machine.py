"""What a machine is: what two centrals compare before one may stand by for the other."""

import os
import platform
import shutil
import time
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine. disk_free_bytes: where the store lies, or will. now_ms: its clock, UTC.

    utc_offset_s: of its time zone now, east of Greenwich.
    """

    release: str
    os_family: str
    architecture: str
    cores: int
    memory_bytes: int
    disk_free_bytes: int
    utc_offset_s: int
    now_ms: int

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Any) -> Self:  # Any: JSON
        """Read it back; raises ValueError when something is missing or of another kind."""
        if not isinstance(content, dict):
            raise ValueError("no facts of a machine")
        values: dict[str, Any] = {}
        for field in fields(cls):
            value = content.get(field.name)
            if type(value) is not (str if field.type is str else int):
                raise ValueError(f"facts of a machine without {field.name}")
            values[field.name] = value
        return cls(**values)


def release() -> str:
    """Return the release of steadflow that runs here."""
    return version("steadflow")


def this_machine(data_dir: Path, *, now_ms: int) -> Machine:
    """Return what this machine is. data_dir: need not be there yet. Blocking."""
    there = data_dir.absolute()
    while not there.exists():
        there = there.parent
    return Machine(
        release=release(),
        os_family=platform.system(),
        architecture=platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        disk_free_bytes=shutil.disk_usage(there).free,
        utc_offset_s=time.localtime(now_ms / 1000).tm_gmtoff,
        now_ms=now_ms,
    )

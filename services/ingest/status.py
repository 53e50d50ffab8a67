"""What receivers and decoders tell their holder about themselves, through small files."""

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

Role = Literal["receiver", "decoder"]
Fact = str | int | float | bool | None

_BLOCK_BYTES = 4096
"""A file is at least so large, so that more can be said in it when there is no room for another."""


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """The state of one process as it saw itself last.

    reasons: why it is not ready, by condition; empty when it is.
    facts: shown as they are under `/api/v1/status`.
    """

    pid: int
    reasons: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Fact] = field(default_factory=dict)


def write_status(directory: Path, role: Role, status: ProcessStatus) -> None:
    """Replace what `role` said before, in the worker's folder.

    On a full disk, which is when it matters most, it is written over what stands there. Raises
    OSError.
    """
    path = directory / f"{role}.json"
    new = path.with_suffix(".json.new")
    text = json.dumps(asdict(status)).encode()
    try:
        new.write_bytes(text.ljust(_BLOCK_BYTES))
        os.replace(new, path)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        new.unlink(missing_ok=True)
        with path.open("r+b", buffering=0) as file:
            file.write(text.ljust(path.stat().st_size))


def status_written_at_s(directory: Path, role: Role) -> float | None:
    """Return when `role` said something last, Unix time; None when it said nothing yet."""
    try:
        return (directory / f"{role}.json").stat().st_mtime
    except OSError:
        return None


def read_status(directory: Path, role: Role) -> ProcessStatus | None:
    """Return what `role` said last; None when it said nothing yet."""
    try:
        content = json.loads((directory / f"{role}.json").read_text())
        return ProcessStatus(int(content["pid"]), content["reasons"], content["facts"])
    except (OSError, ValueError, KeyError, TypeError):
        return None

"""A central that was restored from a snapshot is no candidate until its copy is proven equal."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from services.central.proof.ledger import Copy
from shared.health import Health
from shared.snapshot_folder import write_whole

MINUTE_MS = 60_000
MARK = "unproven"
"""File in a central's data_dir: when the restored snapshot was found, ms UTC."""
NOTE: Final = "copy"


def is_proven(since_ms: int, copy: Copy) -> bool:
    """Whether nothing holds it up, and it is right up to the minute of `since_ms`."""
    return not copy.differences and copy.until_ms >= since_ms // MINUTE_MS * MINUTE_MS


class Probation:
    """Outlives the process: the mark goes when the copy is proven."""

    def __init__(self, data_dir: Path, health: Health) -> None:
        """Read the mark, if there is one."""
        self._mark = data_dir / MARK
        self._health = health
        try:
            self._since_ms: int | None = int(self._mark.read_text())
        except FileNotFoundError:
            self._since_ms = None

    def is_over(self, copy: Callable[[], Copy]) -> bool:
        """Whether this central may be a candidate. copy: asked while it may not."""
        if self._since_ms is None:
            return True
        if not is_proven(self._since_ms, copy()):
            self._health.note(NOTE, "restored from a snapshot, and not proven equal yet")
            return False
        self._health.note(NOTE, None)
        self._mark.unlink(missing_ok=True)
        self._since_ms = None
        return True


def begin(data_dir: Path, now_ms: int) -> None:
    """Mark what is about to be restored; before it, so that no kill leaves it unmarked."""
    write_whole(data_dir / MARK, str(now_ms).encode())

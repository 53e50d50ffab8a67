"""From when on a central reads the outbox: no notice that still waits is older.

A primary says every second or so that it is alive: a week of that is half a million records, which
would hold up who restarts and is to act. So how far all is delivered is kept over restarts.
"""

import logging
from pathlib import Path
from typing import Final

from services.central.roles.outbox import Item, OutboxState
from shared.snapshot_folder import write_whole

log = logging.getLogger(__name__)

READ_MS: Final = 24 * 3600 * 1000
"""So much is read at every start."""
NOTE_EVERY_MS: Final = READ_MS // 2
MARK: Final = "outbox-delivered-until"
"""File in a central's data_dir: every notice decided before is delivered, ms, UTC."""


class OutboxSince:
    """The mark of one central. Without it, as of a new central, all of the topic is read."""

    def __init__(self, data_dir: Path | None) -> None:
        """Read the mark, if there is one. data_dir: None keeps none."""
        self._mark = None if data_dir is None else data_dir / MARK
        self._until_ms = 0
        if self._mark is not None:
            try:
                self._until_ms = int(self._mark.read_text())
            except FileNotFoundError:
                pass
            except (OSError, ValueError) as error:
                log.warning("all of the outbox is read: %s error=%s", self._mark, error)

    def since_ms(self, now_ms: int) -> int:
        """Return from when on the outbox is to be read, UTC."""
        return max(0, min(self._until_ms, now_ms - READ_MS))

    def note(self, state: OutboxState, newest: Item) -> None:
        """Move the mark when that is due. Blocks for one small file, twice a day.

        state: of all records up to `newest`, from `since_ms` on.
        """
        until_ms = min([newest.decided_ms, *(each.decided_ms for each in state.waiting.values())])
        if self._mark is None or until_ms < self._until_ms + NOTE_EVERY_MS:
            return
        self._until_ms = until_ms
        try:
            write_whole(self._mark, str(until_ms).encode())
        except OSError as error:
            # The next start then reads more than it must.
            log.warning("not noted how far the outbox is delivered error=%s", error)

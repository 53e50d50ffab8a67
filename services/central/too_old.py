"""A central away longer than Kafka keeps: it says so, and its agent reads it from a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from services.central.metadata.hints import Position
from shared.health import Health
from shared.kafka import PartitionFacts
from shared.snapshot_folder import write_whole

MARK = "too-old"
"""File in a central's data_dir: why it stands still, a sentence."""


def too_old(hints: Mapping[int, Position], facts: Sequence[PartitionFacts]) -> str:
    """Return which positions are below the log's start, in a sentence; empty when none is.

    A topic made again is another matter: nothing of the old one can come any more.
    """
    gone = {
        fact.partition: fact.start_offset - hint.next_offset
        for fact in facts
        if (hint := hints.get(fact.partition)) is not None
        if hint.topic_id == fact.topic_id and hint.next_offset < fact.start_offset
    }
    if not gone:
        return ""
    count = sum(gone.values())
    return f"away for longer than Kafka keeps messages: {count} are gone that were not read yet"


class TooOld:
    """Keeps the mark, and the note in health, as the log is found."""

    def __init__(self, data_dir: Path, health: Health) -> None:
        """Look at nothing yet."""
        self._mark = data_dir / MARK
        self._health = health

    def note(self, why: str) -> None:
        """Note why nothing can be read on; empty when it can. Blocks for one small file."""
        if why:
            write_whole(self._mark, why.encode())
            # Who sees that finds the mark.
            self._health.unmet("retention", why)
        else:
            self._mark.unlink(missing_ok=True)
            self._health.met("retention")

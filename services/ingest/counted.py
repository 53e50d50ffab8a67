"""What the processes of a worker counted, and when they wrote it down."""

from pathlib import Path
from typing import Final

from services.ingest.pace import Count
from services.ingest.publish.tally import TALLY, read_tally
from services.ingest.status import read_status, status_written_at_s

COUNTED: Final = ("datagrams", "flows")


def counts(directory: Path) -> dict[str, Count | None]:
    """Return datagrams received and flows published, from a worker's folder; None: not known."""
    return {"datagrams": _datagrams(directory), "flows": _flows(directory)}


def _datagrams(directory: Path) -> Count | None:
    # The time first: a file replaced in between is then only taken for a moment older.
    at_s = status_written_at_s(directory, "receiver")
    status = read_status(directory, "receiver")
    value = None if status is None else status.facts.get("datagrams")
    return Count(value, at_s) if at_s is not None and isinstance(value, int | float) else None


def _flows(directory: Path) -> Count | None:
    try:
        at_s = (directory / TALLY).stat().st_mtime
    except OSError:
        return None
    found = read_tally(directory)
    return Count(sum(value for (name, *_), value in found.items() if name == "decoded_flows"), at_s)

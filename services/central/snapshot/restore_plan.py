"""What a start does about a snapshot in `restore/`, by what it finds. Pure.

The store is wiped and filled under the mark `restoring`; the rename of `restore/` to `restored/`
is the moment from which it counts. So a kill anywhere leaves either a half restore that the next
start makes anew, or a whole one of which only the leftovers go.
"""

from dataclasses import dataclass
from enum import Enum, auto


class Action(Enum):
    """What to do before the store is opened for use."""

    OPEN = auto()
    """Nothing is to be restored, or not yet."""
    RESTORE = auto()
    """Fill an empty store, or a half restored one anew."""
    REFUSE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What lies in a central's folder. is_complete: `restore/` holds a whole snapshot.

    was_begun: the mark `restoring` is there. is_replacing: the mark `replace` is, which says that
    the snapshot takes the place of a store with rows. is_embedded: neither store nor database is by
    URL. rows: in the store's tables; counted only where a restore is to begin.
    """

    is_complete: bool
    was_begun: bool
    is_embedded: bool
    is_replacing: bool = False
    rows: int = 0


def decide(found: Found) -> tuple[Action, str]:
    """Return what to do, and why where it is refused, as a sentence."""
    if found.was_begun and not found.is_complete:
        return Action.REFUSE, (
            "the store is half restored and the snapshot in restore/ is gone or not complete: "
            "download it again, or delete store/, metadata.db and the file restoring"
        )
    if not found.is_complete:
        return Action.OPEN, ""
    if not found.is_embedded:
        return Action.REFUSE, (
            "a snapshot in restore/ needs the embedded store and database: with a store or "
            "metadata by URL restore that server's own backup, and delete restore/"
        )
    if found.rows and not found.was_begun and not found.is_replacing:
        return Action.REFUSE, (
            f"the store has {found.rows} rows already, and a snapshot in restore/ is only for an "
            "empty one: delete restore/, or move store/ and metadata.db away"
        )
    return Action.RESTORE, ""

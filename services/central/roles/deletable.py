"""Which records of `ha.log` nobody needs any more; pure."""

from collections.abc import Sequence
from typing import Final

APART: Final = 1_000
"""A snapshot so many offsets before the newest one is where a new replica may begin."""


def deletable_before(snapshots: Sequence[int], *, first_uncopied: int | None) -> int | None:
    """Return the offset to let the log begin at; None when all of it is needed.

    snapshots: the offset of the state in each that was read back, in the order of the log.
    first_uncopied: the first decision that is not in `ha.history` yet, None without one. Whoever
    begins at a snapshot learns of no decision before it, so that snapshot stands before that one.
    """
    if not snapshots:
        return None
    found = [
        offset
        for offset in snapshots
        if snapshots[-1] - offset >= APART
        if first_uncopied is None or offset < first_uncopied
    ]
    return max(found) + 1 if found else None

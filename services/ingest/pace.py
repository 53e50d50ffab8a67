"""How fast a counter grows, from what another process wrote of it now and then; pure."""

from typing import Final, NamedTuple

KEPT_S: Final = 60.0
"""A decoder with very many series writes its tally only so often."""


class Count(NamedTuple):
    """A counter as it was written at `at_s`, Unix time."""

    value: float
    at_s: float


class Pace(NamedTuple):
    """The newest count, and the growth up to it; per_s: None before there were two."""

    newest: Count
    per_s: float | None = None


def paced(before: Pace | None, told: Count | None, *, now_s: float) -> Pace | None:
    """Return the pace with `told` read at `now_s`.

    A count that fell is of a process started again, from 0. One not written again since leaves
    the pace as it is, but for KEPT_S only.
    """
    if told is None:
        return None
    if before is None:
        return Pace(told)
    seconds = told.at_s - before.newest.at_s
    if seconds == 0:
        return before if 0 <= now_s - told.at_s <= KEPT_S else Pace(told)
    if seconds < 0:
        return Pace(told)
    value = before.newest.value
    grown = told.value - value if told.value >= value else told.value
    return Pace(told, grown / seconds)

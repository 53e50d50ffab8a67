"""When a registry ticks next, so that several of them together tick about once a period; pure."""

from typing import NamedTuple

LATER_AT_LEAST = 1.05
LATER_AT_MOST = 1.15


class Ticking(NamedTuple):
    """By one clock that does not fall, in seconds.

    sent_s: when the own last tick was sent. valid_s: when the last valid one came into the log, as
    far as is known. patience: how many periods later the own next one is due.
    """

    sent_s: float = float("-inf")
    valid_s: float = float("-inf")
    patience: float = 1.0


def after_sent(ticking: Ticking, *, now_s: float) -> Ticking:
    """Return how it goes on after an own tick, valid or lost."""
    return ticking._replace(sent_s=now_s)


def after_valid(
    ticking: Ticking, *, is_own: bool, now_s: float, age_s: float, chance: float
) -> Ticking:
    """Return how it goes on after a valid tick was read.

    age_s: how long it stood in the log by then, at least. Several are read at once where the log
    waited for a broker that is gone; counted from the reading, the next one would come too late
    just then. chance: uniform in [0, 1).

    Whose tick it was goes first again: the others come in only where that one stays away. Where all
    is slow ticks are read late and come slower, so that nobody is taken for dead who is slow too.
    """
    later = LATER_AT_LEAST + (LATER_AT_MOST - LATER_AT_LEAST) * chance
    return ticking._replace(valid_s=now_s - max(0.0, age_s), patience=1.0 if is_own else later)


def due_s(ticking: Ticking, *, period_s: float) -> float:
    """Return when the next own tick is due.

    A whole period after the own last one in any case: a schedule of fixed times would make the tick
    after a late one fall below 0.8 periods, and count for nothing.
    """
    return max(ticking.sent_s + period_s, ticking.valid_s + ticking.patience * period_s)

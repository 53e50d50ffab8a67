"""Which faults a run injects: drawn by seed, pure."""

import random
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TypeVar

Drawn = TypeVar("Drawn", bound=StrEnum)


class Kind(StrEnum):
    """What is done to a running system. Frozen is stopped for longer than K ticks, and woken.

    Soon: in the moment another one could take over, which may be busy with its own start.
    """

    KILL_PRIMARY = "kill-primary"
    KILL_PRIMARY_SOON = "kill-primary-soon"
    FREEZE_PRIMARY = "freeze-primary"
    SWITCHOVER = "switchover"
    FREEZE_PAUSED_PRIMARY = "freeze-paused-primary"
    KILL_STANDBY = "kill-standby"
    FREEZE_STANDBY = "freeze-standby"
    KILL_REGISTRY = "kill-registry"
    FREEZE_REGISTRY = "freeze-registry"
    KILL_BROKER = "kill-broker"
    FREEZE_BROKER = "freeze-broker"
    RESTART_BROKER = "restart-broker"
    KILL_HOLDER = "kill-holder"
    FREEZE_HOLDER = "freeze-holder"
    KILL_RECEIVER = "kill-receiver"
    FREEZE_RECEIVER = "freeze-receiver"
    KILL_DECODER = "kill-decoder"
    FREEZE_DECODER = "freeze-decoder"


TAKEN_OVER = frozenset(
    {Kind.KILL_PRIMARY, Kind.KILL_PRIMARY_SOON, Kind.FREEZE_PRIMARY, Kind.SWITCHOVER}
)
"""After these somebody else acts; after all others a takeover is a needless one."""


def draw(count: int, rng: random.Random, kinds: Sequence[Drawn]) -> list[Drawn]:
    """Return `count` faults: every kind once before any comes again, in any order."""
    drawn: list[Drawn] = []
    while len(drawn) < count:
        drawn += rng.sample(kinds, len(kinds))
    return drawn[:count]


def kinds_of(names: Iterable[str], among: type[Drawn]) -> tuple[Drawn, ...]:
    """Return the kinds of these names, all for none. Raises ValueError, naming all there are."""
    chosen = [name for name in names if name]
    if unknown := [name for name in chosen if name not in set(among)]:
        raise ValueError(f"no fault {', '.join(unknown)}: there are {', '.join(among)}")
    return tuple(map(among, chosen)) or tuple(among)

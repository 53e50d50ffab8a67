"""Of many like cases `make test` runs some, others each time; `make test ALL=1` runs every one."""

import os
import random
import secrets
from collections.abc import Collection, Sequence
from typing import Final, TypeVar

Case = TypeVar("Case")

# Workers have the environment of whoever started them, so all of a run draw the same.
SEED: Final = os.environ.setdefault("STEADFLOW_DRAWN_SEED", str(secrets.randbits(32)))
ALL: Final = bool(os.environ.get("STEADFLOW_DRAWN_ALL"))

LONG_RUNS: Final = {
    f"tests/faults/test_{name}.py"
    for name in ("kill", "lost_leader", "rolling_upgrade", "switched_off")
}
"""Systems of their own, a minute each, of which a run has one."""


def left_out(files: Collection[str]) -> set[str]:
    """Return which of the test files of a run are not drawn; none where only one is asked for."""
    long_runs = sorted(LONG_RUNS & set(files))
    return set(long_runs) - set(some(long_runs, 1, "long runs"))


def some(cases: Sequence[Case], count: int, name: str) -> list[Case]:
    """Return `count` of `cases` in their order, drawn by the seed and `name`; all where wished."""
    if ALL or count >= len(cases):
        return list(cases)
    places = random.Random(f"{SEED} {name}").sample(range(len(cases)), count)
    return [cases[place] for place in sorted(places)]

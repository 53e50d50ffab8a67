"""What a central remembers of the records of `ha.log`, beside the fold."""

from collections import deque
from typing import Final

from services.central.roles.duties import Decision
from services.central.roles.vacancy import Vacancy, evolve, seconds
from shared.roles.fold import Folded
from shared.roles.history import Tail, decision_entry, is_decision
from shared.roles.records import RecordError, Snapshot
from shared.roles.snapshot import state_of

DECISIONS_KEPT: Final = 10_000
SNAPSHOTS_KEPT: Final = 100


class LogNotes:
    """decisions: those that `ha.history` may not have yet, in order.

    snapshots: up to which offset each goes that this release can begin at, in order.
    """

    def __init__(self) -> None:
        """Nothing was read."""
        self.decisions: deque[Decision] = deque(maxlen=DECISIONS_KEPT)
        self.snapshots: deque[int] = deque(maxlen=SNAPSHOTS_KEPT)
        self._vacancy = Vacancy()
        self._claim_read_s = 0.0

    @property
    def first_uncopied(self) -> int | None:
        """The offset of the first decision that may be missing in `ha.history`."""
        return int(self.decisions[0]["offset"]) if self.decisions else None

    def take(self, folded: Folded, *, now_s: float) -> None:
        """Note one record. now_s: by a clock that never stops."""
        record, state = folded.record, folded.state
        self._vacancy = evolve(self._vacancy, folded)
        if state.epoch != folded.before.epoch:
            self._claim_read_s = now_s
        if is_decision(folded.before, record) and state.config is not None:
            self.decisions.append(
                decision_entry(
                    record,
                    generation=state.config.generation,
                    offset=folded.offset,
                    at_ms=folded.append_ms,
                )
            )
        if isinstance(record, Snapshot) and _is_beginning(record, folded.offset):
            self.snapshots.append(record.offset)

    def forget_copied(self, tail: Tail) -> None:
        """Drop the decisions up to where `ha.history` ends."""
        while self.decisions and _place(self.decisions[0]) <= tail.order:
            self.decisions.popleft()

    def vacant_s(self, now_s: float) -> float | None:
        """Return for how long nobody acted before the newest epoch; None when it is the first."""
        return seconds(self._vacancy, now_s - self._claim_read_s)

    def clear(self) -> None:
        """Forget the log that was."""
        self.decisions.clear()
        self.snapshots.clear()
        self._vacancy = Vacancy()


def _is_beginning(snapshot: Snapshot, at_offset: int) -> bool:
    try:
        return snapshot.offset < at_offset and state_of(snapshot) is not None
    except RecordError:
        return False


def _place(decision: Decision) -> tuple[int, int]:
    return int(decision["generation"]), int(decision["offset"])

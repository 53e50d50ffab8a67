"""Tells people of differences: a log line each, a metric, and a note beside the health."""

import logging
from typing import Final

from services.central.instants import format_instant
from services.central.metrics import CentralMetrics
from services.central.proof.compare import Difference
from services.central.proof.ledger import Ledger
from shared.digest_records import HOUR
from shared.health import Health

log = logging.getLogger(__name__)

KIND: Final = "difference"
LINES_MAX: Final = 20
"""New differences told one by one at a time; the others are counted."""
NOTE: Final = "proof"


class Alarms:
    """What was told already, and the current sums."""

    def __init__(self, metrics: CentralMetrics, health: Health) -> None:
        """Begin with nothing told."""
        self._metrics = metrics
        self._health = health
        self._told: frozenset[Difference] = frozenset()
        self._measured: frozenset[str] = frozenset()

    def review(self, ledger: Ledger) -> None:
        """Tell what is new in `ledger`, and take back what is over."""
        differences = ledger.differences()
        new = [each for each in differences if each not in self._told]
        for each in new[:LINES_MAX]:
            log.error("alarm kind=%s %s", KIND, said(each))
        if len(new) > LINES_MAX:
            log.error("alarm kind=%s and %d more differences", KIND, len(new) - LINES_MAX)
        over = self._told.difference(differences)
        if over and not differences:
            log.info("all is equal again differences=%d", len(over))
        self._metrics.alarms.labels(KIND).inc(len(new))
        self._metrics.proof.differences.set(len(differences))
        for proven in ledger.proven():
            self._metrics.proof.proven_until.labels(proven.central).set(proven.until_ms / 1000)
        for name in self._measured.difference(ledger.others):
            self._metrics.proof.proven_until.remove(name)
        self._measured = frozenset(ledger.others)
        self._told = frozenset(differences)
        more = f" and {len(differences) - 1} more" if len(differences) > 1 else ""
        self._health.note(NOTE, f"{said(differences[0])}{more}" if differences else None)


def said(difference: Difference) -> str:
    """Return a difference as one line: which minute, whose rows, where, who is wrong."""
    what = "hour" if difference.period.level == HOUR else "minute"
    names = list(difference.exporters)
    if difference.exporters_more:
        names.append(f"{difference.exporters_more} others")
    return (
        f"{what}={format_instant(difference.period.starts_ms)} "
        f"exporters={','.join(names) or 'unknown'} parts={','.join(difference.parts)} "
        f"central={difference.central} wrong={','.join(difference.wrong) or 'unknown'} "
        f"stream={difference.period.stream:016x}"
    )

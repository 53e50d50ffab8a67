"""Every worker of a collector, and when it was heard last; pure."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final, NamedTuple

from services.central.instants import format_instant
from shared.collectors import CollectorRecord

SILENT_MS: Final = 15_000
"""Three records that did not come."""
FORGOTTEN_MS: Final = 7 * 86_400_000
WORKERS_MAX: Final = 1_000

EXAMPLE: Final[Mapping[str, Any]] = {  # Any: JSON.
    "rows": [
        {
            "worker": "collector-1/0",
            "collector": "collector-1",
            "version": "0.1.0",
            "flows_per_s": 1999.5,
            "datagrams_per_s": 80.0,
            "spool_bytes": 16_777_216,
            "unread_datagrams": 12,
            "lag_s": 0.4,
            "stream": "00c0ffee00c0ffee",
            "acknowledged": 88,
            "received": 100,
            "primary": "central-a",
            "epoch": 7,
            "udp": "127.0.0.1:2055",
            "ready": True,
            "reasons": {},
            "started_at": "2026-03-02T14:01:00.000Z",
            "last_seen": "2026-03-02T14:30:58.000Z",
            "age_s": 2.0,
            "is_silent": False,
        }
    ]
}


class Heard(NamedTuple):
    """The last record of a worker, and when it came, ms UTC."""

    record: CollectorRecord
    heard_ms: int


class Listing:
    """The workers by name; of more than `workers_max` the longest silent one is forgotten."""

    def __init__(self, *, workers_max: int = WORKERS_MAX) -> None:
        """Begin without any."""
        self._workers_max = workers_max
        self._heard: dict[str, Heard] = {}

    def hear(self, record: CollectorRecord, heard_ms: int) -> None:
        """Put `record` in place of the worker's last one."""
        self._heard[record.worker] = Heard(record, heard_ms)
        if len(self._heard) > self._workers_max:
            del self._heard[min(self._heard, key=lambda worker: self._heard[worker].heard_ms)]

    def at(self, now_ms: int) -> list[Heard]:
        """Return what is known at `now_ms`, by worker."""
        oldest_ms = now_ms - FORGOTTEN_MS
        for worker in [name for name, each in self._heard.items() if each.heard_ms < oldest_ms]:
            del self._heard[worker]
        return [self._heard[worker] for worker in sorted(self._heard, key=_by_number)]

    def count(self, now_ms: int, *, is_silent: bool) -> int:
        """Return how many workers are silent, or are not."""
        return sum(silent(each, now_ms) == is_silent for each in self.at(now_ms))


def silent(heard: Heard, now_ms: int) -> bool:
    """Tell whether a worker was not heard for too long."""
    return now_ms - heard.heard_ms > SILENT_MS


def row(heard: Heard, now_ms: int) -> dict[str, Any]:  # Any: JSON.
    """Return a worker as the API shows it."""
    content = asdict(heard.record)
    del content["at_ms"]
    started_at_ms = content.pop("started_at_ms")
    return content | {
        "started_at": format_instant(started_at_ms),
        "last_seen": format_instant(heard.heard_ms),
        "age_s": max(0, now_ms - heard.heard_ms) / 1000,
        "is_silent": silent(heard, now_ms),
    }


def _by_number(worker: str) -> tuple[str, int, str]:
    collector, _, index = worker.rpartition("/")
    return collector, int(index) if index.isdecimal() else 0, worker

"""Whether a copy ends in time: what it will lack when it is here must still be in Kafka; pure."""

import math
from collections.abc import Iterable
from datetime import timedelta
from typing import Final, NamedTuple

from services.standby.preflight import Light, Line
from shared.topics import FLOWS

KAFKA_S: Final = (FLOWS.retention or timedelta.max).total_seconds()
"""So long Kafka keeps a message of `flows`, where it does not say otherwise."""
COPY_CHECK: Final = "time to copy"
SNAPSHOT_S: Final = 24 * 3600.0
"""So long the primary keeps a snapshot that nobody releases."""
SHARE: Final = 0.5
"""Of what Kafka's retention has left; the other half is for catching up."""
AMBER_SHARE: Final = 0.5
"""Of the time there is."""
JUDGED_AFTER_S: Final = 60.0
"""A rate of less than this says nothing about hours."""


class Copying(NamedTuple):
    """A copy under way. came_bytes: within elapsed_s, of this run of the download.

    age_s: of the snapshot.
    """

    done_bytes: int
    total_bytes: int
    came_bytes: int
    elapsed_s: float
    age_s: float


class Held(NamedTuple):
    """One partition of the log as it is now. oldest_age_s: of its first record."""

    size_bytes: int
    oldest_age_s: float


class Verdict(NamedTuple):
    """How it looks, and that in a sentence; empty while nothing can be said."""

    light: Light
    text: str


def judge(copying: Copying, *, kafka_s: float = KAFKA_S) -> Verdict:
    """Return whether the copy ends within half of what Kafka's retention has left.

    kafka_s: how long Kafka keeps messages.
    """
    left_bytes = copying.total_bytes - copying.done_bytes
    if left_bytes <= 0:
        return Verdict(Light.GREEN, "")
    there_is_s = time_for(copying.age_s, kafka_s=kafka_s)
    if there_is_s <= 0:
        return Verdict(
            Light.RED, "the snapshot is too old: Kafka will not have what comes after it"
        )
    if copying.elapsed_s < JUDGED_AFTER_S:
        return Verdict(Light.GREEN, "")
    rate = copying.came_bytes / copying.elapsed_s
    if rate <= 0:
        return Verdict(Light.AMBER, f"nothing came for {_said(copying.elapsed_s)}")
    return _judged(left_bytes, rate, there_is_s)


def line_of(store_bytes: int, bytes_per_s_max: int, *, kafka_s: float = KAFKA_S) -> Line:
    """Return the line of a check before a copy. bytes_per_s_max: its limit; 0 without one."""
    check = COPY_CHECK
    if not bytes_per_s_max:
        return Line(check, Light.GREEN, "no limit is set; it is watched while it copies")
    light, text = _judged(store_bytes, bytes_per_s_max, time_for(0.0, kafka_s=kafka_s))
    remedy = "" if light is Light.GREEN else "give a higher --rate, or none"
    return Line(check, light, text, remedy)


def time_for(age_s: float, *, kafka_s: float = KAFKA_S) -> float:
    """Return the seconds in which a copy has to end, of a snapshot of that age."""
    return min((kafka_s - age_s) * SHARE, SNAPSHOT_S - age_s)


def kept_s(retention_ms: int, retention_bytes: int, held: Iterable[Held] = ()) -> float:
    """Return how long Kafka keeps messages, `inf` for ever. A negative limit is none.

    held: the partitions that are not empty.
    """
    found_s = [math.inf if retention_ms < 0 else retention_ms / 1000]
    if retention_bytes >= 0:
        # What is deleted first is what came first: a full partition keeps what its first record is
        # old, one that fills still as much more as its limit is larger, at the rate so far. A log
        # that was begun a minute ago says so nothing of a minute.
        found_s += [
            each.oldest_age_s * max(1.0, retention_bytes / each.size_bytes)
            for each in held
            if each.size_bytes > 0
        ]
    return min(found_s)


def _judged(left_bytes: int, bytes_per_s: float, there_is_s: float) -> Verdict:
    needs_s = left_bytes / bytes_per_s
    said = (
        f"{left_bytes / 1e9:.1f} GB at {bytes_per_s / 1e6:.1f} MB/s take {_said(needs_s)}, "
        f"and there are {_said(there_is_s)}"
    )
    if needs_s > there_is_s:
        return Verdict(Light.RED, f"{said}: use a faster link")
    if needs_s > AMBER_SHARE * there_is_s:
        return Verdict(Light.AMBER, said)
    return Verdict(Light.GREEN, said)


def _said(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} s"

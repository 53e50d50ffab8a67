"""The record on topic `collectors`: what one worker of a collector does; pure."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final

NAME_CHARACTERS: Final = 255
REASON_CHARACTERS: Final = 300
REASONS_MAX: Final = 16
VALUE_BYTES_MAX: Final = 16_384
NO_EPOCH: Final = -1
_COUNT_MAX: Final = 1 << 63
_TEXTS: Final = ("worker", "collector", "version", "stream", "primary", "udp")
_TIMES: Final = ("at_ms", "started_at_ms")
_TIME_MS_MAX: Final = 253_402_300_800_000
"""Year 10000, of which no calendar knows."""
_COUNTS: Final = ("spool_bytes", "received", "acknowledged")
_RATES: Final = ("flows_per_s", "datagrams_per_s", "lag_s")


class CollectorRecordError(ValueError):
    """A record on `collectors` that this release cannot read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectorRecord:
    """One worker as it saw itself; None stands for what is not known yet.

    worker: `collector/index`. at_ms, started_at_ms: UTC by the collector's clock. flows_per_s:
    published; datagrams_per_s: received. unread_datagrams: in the spool and not acknowledged by
    Kafka, about; lag_s: age of the newest acknowledged one, 0 when all are. stream: what the
    receiver writes, 16 hex digits or empty; received, acknowledged: its newest numbers, 0 for
    none. primary, epoch: as the collector knows them, empty and NO_EPOCH for unknown. udp: where
    it listens. reasons: why the worker is not ready, by process.
    """

    worker: str
    collector: str
    version: str = ""
    at_ms: int = 0
    started_at_ms: int = 0
    flows_per_s: float | None = None
    datagrams_per_s: float | None = None
    spool_bytes: int = 0
    unread_datagrams: int | None = None
    lag_s: float | None = None
    stream: str = ""
    acknowledged: int = 0
    received: int = 0
    primary: str = ""
    epoch: int = NO_EPOCH
    udp: str = ""
    ready: bool = False
    reasons: Mapping[str, str] = field(default_factory=dict)


def encode_collector(record: CollectorRecord) -> tuple[bytes, bytes]:
    """Return key and value; reasons are cut to what `decode_collector` takes."""
    reasons = {
        name: "".join(filter(str.isprintable, " ".join(text.split())))[:REASON_CHARACTERS]
        for name, text in list(record.reasons.items())[:REASONS_MAX]
    }
    content = asdict(replace(record, reasons=reasons))
    value = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return record.worker.encode(), value.encode()


def decode_collector(key: bytes | None, value: bytes) -> CollectorRecord:
    """Read a record; fields of later releases are left out. Raises CollectorRecordError."""
    if len(value) > VALUE_BYTES_MAX:
        raise CollectorRecordError(f"{len(value)} bytes")
    try:
        content = json.loads(value)
        known = {each.name for each in fields(CollectorRecord)}
        record = CollectorRecord(**{name: one for name, one in content.items() if name in known})
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CollectorRecordError(f"no record of a collector: {error!r}"[:200]) from error
    if problem := _problem(record):
        raise CollectorRecordError(problem)
    if record.worker.encode() != key:
        raise CollectorRecordError(f"worker {record.worker!r} is not the key")
    return record


def _problem(record: CollectorRecord) -> str:
    for name in _TEXTS:
        if not _is_text(getattr(record, name), NAME_CHARACTERS):
            return f"{name} is no name"
    if not record.collector or not record.worker.startswith(f"{record.collector}/"):
        return f"worker {record.worker!r} is not one of collector {record.collector!r}"
    for name in _TIMES:
        value = getattr(record, name)
        if not _is_count(value) or value >= _TIME_MS_MAX:
            return f"{name} is no time"
    for name in _COUNTS:
        if not _is_count(getattr(record, name)):
            return f"{name} is no count"
    if record.unread_datagrams is not None and not _is_count(record.unread_datagrams):
        return "unread_datagrams is no count"
    for name in _RATES:
        value = getattr(record, name)
        if value is not None and not (
            type(value) in (int, float) and math.isfinite(value) and 0 <= value < _COUNT_MAX
        ):
            return f"{name} is no number"
    if record.epoch != NO_EPOCH and not _is_count(record.epoch):
        return "epoch is no count"
    if type(record.ready) is not bool:
        return "ready is neither true nor false"
    reasons = record.reasons
    if not isinstance(reasons, dict) or len(reasons) > REASONS_MAX:
        return "reasons are no object, or too many"
    if not all(
        _is_text(name, NAME_CHARACTERS) and _is_text(text, REASON_CHARACTERS)
        for name, text in reasons.items()
    ):
        return "a reason is no text"
    return ""


def _is_text(value: Any, characters_max: int) -> bool:  # Any: what JSON held.
    return isinstance(value, str) and len(value) <= characters_max and value.isprintable()


def _is_count(value: Any) -> bool:  # Any: as above.
    return type(value) is int and 0 <= value < _COUNT_MAX

"""The records on topic `digests`: what a central holds of each closed minute and hour; pure.

Three kinds share the topic. A `PeriodDigest` (key `central/stream/level/start`) is written once a
period is closed, and again when a scrub finds it changed or a repair has closed it anew. A `Passed`
(key `central/stream`) follows the periods it speaks of, so whoever has read it has read them too:
a period that is missing then was never closed there. A `Left` (key `central`) takes back all that
stands before it of that central.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

MINUTE: Final = 0
HOUR: Final = 1
PERIOD_MS: Final = {MINUTE: 60_000, HOUR: 3_600_000}
EXPORTERS_MAX: Final = 64
"""Exporters listed beside a minute, the lowest addresses first; the others are only counted."""
VALUE_BYTES_MAX: Final = 32_768
NAME_CHARACTERS: Final = 255
_COUNT_MAX: Final = 1 << 64
_TIME_MS_MAX: Final = 253_402_300_800_000
"""Year 10000, of which no calendar knows."""


class DigestRecordError(ValueError):
    """A record on `digests` that this release cannot read."""


class Period(NamedTuple):
    """One minute or hour of a stream. level: MINUTE or HOUR; starts_ms: UTC."""

    stream: int
    level: int
    starts_ms: int

    @property
    def ends_ms(self) -> int:
        """The first instant after it."""
        return self.starts_ms + PERIOD_MS[self.level]


class ExporterDigest(NamedTuple):
    """One exporter's share of a minute. exporter: as people write the address."""

    exporter: str
    flows: int
    digest: int


class RawSums(NamedTuple):
    """Count, sums and hash sum of raw rows."""

    flows: int
    bytes: int
    packets: int
    digest: int


class RollupSums(NamedTuple):
    """Count and hash sum of roll-up rows."""

    rows: int
    digest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a scrub computed where it was not what had been closed.

    raw, rollups: None where they are as they were, or are not kept. exporters: whose rows changed,
    as far as that can be told; exporters_more: how many beside them.
    """

    raw: RawSums | None = None
    rollups: RollupSums | None = None
    exporters: tuple[str, ...] = ()
    exporters_more: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodDigest:
    """What `central` held of a period when it closed it.

    raw: of the rows that were summed up; digest_version: of their column list, 0 where minutes of
    several were. rollups: of the roll-up rows, over column list rollup_version. repair: number of
    the repair that closed it, 0 for none. exporters: of a minute, by address; exporters_more: not
    listed. checked: what it holds was compared with the log and is the same.
    """

    central: str
    period: Period
    raw: RawSums
    digest_version: int
    rollups: RollupSums
    rollup_version: int
    repair: int = 0
    exporters: tuple[ExporterDigest, ...] = ()
    exporters_more: int = 0
    checked: bool = False
    found: Found | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """How far `central` has closed a stream: every minute and hour below the bounds, ms UTC.

    ended: all that there are.
    """

    central: str
    stream: int
    minutes_until_ms: int
    hours_until_ms: int
    ended: bool = False

    def covers(self, period: Period) -> bool:
        """Tell whether a period of the stream is closed here, if it has any rows."""
        until_ms = self.minutes_until_ms if period.level == MINUTE else self.hours_until_ms
        return self.ended or period.ends_ms <= until_ms


class Gone(NamedTuple):
    """A tombstone: after a repair `central` holds nothing of the period."""

    central: str
    period: Period


class Left(NamedTuple):
    """`central` was forgotten: what it said before counts no more, what it says later does."""

    central: str


DigestRecord = PeriodDigest | Passed | Gone | Left


def period_key(central: str, period: Period) -> bytes:
    """Return the key of a PeriodDigest."""
    return f"{central}/{period.stream:016x}/{period.level}/{period.starts_ms}".encode()


def encode_digest(record: PeriodDigest | Passed | Left) -> tuple[bytes, bytes]:
    """Return key and value."""
    if isinstance(record, Left):
        return record.central.encode(), _json({"left": True})
    if isinstance(record, Passed):
        content: dict[str, Any] = {  # Any: JSON, as below.
            "minutes_until_ms": record.minutes_until_ms,
            "hours_until_ms": record.hours_until_ms,
            "ended": record.ended,
        }
        return f"{record.central}/{record.stream:016x}".encode(), _json(content)
    content = {
        "raw": _raw(record.raw),
        "digest_version": record.digest_version,
        "rollups": _rollups(record.rollups),
        "rollup_version": record.rollup_version,
        "repair": record.repair,
        "exporters": [[e.exporter, e.flows, f"{e.digest:016x}"] for e in record.exporters],
        "exporters_more": record.exporters_more,
        "checked": record.checked,
    }
    if (found := record.found) is not None:
        content["found"] = {
            "raw": None if found.raw is None else _raw(found.raw),
            "rollups": None if found.rollups is None else _rollups(found.rollups),
            "exporters": list(found.exporters),
            "exporters_more": found.exporters_more,
        }
    return period_key(record.central, record.period), _json(content)


def decode_digest(key: bytes | None, value: bytes) -> DigestRecord:
    """Read a record; fields of later releases are left out. Raises DigestRecordError."""
    if len(value) > VALUE_BYTES_MAX:
        raise DigestRecordError(f"{len(value)} bytes")
    try:
        central, stream, period = _read_key(key)
        if stream is None:
            if json.loads(value)["left"] is not True:
                raise DigestRecordError("the key names no stream")
            return Left(central)
        if not value and period is not None:
            return Gone(central, period)
        content = json.loads(value)
        if period is None:
            return Passed(
                central=central,
                stream=stream,
                minutes_until_ms=_count(content["minutes_until_ms"], _TIME_MS_MAX),
                hours_until_ms=_count(content["hours_until_ms"], _TIME_MS_MAX),
                ended=_flag(content["ended"]),
            )
        return _read_period(central, period, content)
    except DigestRecordError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DigestRecordError(f"no record of digests: {error!r}"[:200]) from error


def _read_key(key: bytes | None) -> tuple[str, int | None, Period | None]:
    if key is None:
        raise DigestRecordError("no key")
    central, *rest = key.decode().split("/")
    if not central or len(central) > NAME_CHARACTERS or not central.isprintable():
        raise DigestRecordError("no name of a central")
    if not rest:
        return central, None, None
    if len(rest) not in (1, 3) or len(rest[0]) != 16:
        raise DigestRecordError("the key names no stream")
    stream = int(rest[0], 16)
    if len(rest) == 1:
        return central, stream, None
    level, starts_ms = int(rest[1]), _count(int(rest[2]), _TIME_MS_MAX)
    if level not in PERIOD_MS or starts_ms % PERIOD_MS[level]:
        raise DigestRecordError("the key names no minute or hour")
    return central, stream, Period(stream, level, starts_ms)


def _read_period(central: str, period: Period, content: Mapping[str, Any]) -> PeriodDigest:
    found = content.get("found")
    exporters = tuple(
        ExporterDigest(_text(exporter), _count(flows), _hash(digest))
        for exporter, flows, digest in _listed(content.get("exporters", []))
    )
    return PeriodDigest(
        central=central,
        period=period,
        raw=_read_raw(content["raw"]),
        digest_version=_count(content["digest_version"]),
        rollups=_read_rollups(content["rollups"]),
        rollup_version=_count(content["rollup_version"]),
        repair=_count(content.get("repair", 0)),
        exporters=exporters,
        exporters_more=_count(content.get("exporters_more", 0)),
        checked=_flag(content.get("checked", False)),
        found=None if found is None else _read_found(found),
    )


def _read_found(content: Mapping[str, Any]) -> Found:
    raw, rollups = content["raw"], content["rollups"]
    return Found(
        raw=None if raw is None else _read_raw(raw),
        rollups=None if rollups is None else _read_rollups(rollups),
        exporters=tuple(_text(each) for each in _listed(content["exporters"])),
        exporters_more=_count(content["exporters_more"]),
    )


def _read_raw(content: Sequence[Any]) -> RawSums:
    flows, size, packets, digest = content
    return RawSums(_count(flows), _count(size), _count(packets), _hash(digest))


def _read_rollups(content: Sequence[Any]) -> RollupSums:
    rows, digest = content
    return RollupSums(_count(rows), _hash(digest))


def _raw(sums: RawSums) -> list[Any]:
    return [sums.flows, sums.bytes, sums.packets, f"{sums.digest:016x}"]


def _rollups(sums: RollupSums) -> list[Any]:
    return [sums.rows, f"{sums.digest:016x}"]


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()


def _count(value: Any, below: int = _COUNT_MAX) -> int:
    if type(value) is not int or not 0 <= value < below:
        raise DigestRecordError("no count")
    return value


def _hash(value: Any) -> int:
    if not isinstance(value, str) or len(value) != 16:
        raise DigestRecordError("no hash sum of 16 hex digits")
    return int(value, 16)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 45 or not value.isprintable():
        raise DigestRecordError("no address")
    return value


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise DigestRecordError("neither true nor false")
    return value


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > EXPORTERS_MAX:
        raise DigestRecordError("no list of exporters, or too many")
    return value

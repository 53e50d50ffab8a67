"""When a flow started and ended, in ms since 1970 UTC, from whatever the exporter sends.

0 stands for unknown. All functions take and return arrays, one value per record.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from services.ingest.decode.elements import Reading
from services.ingest.decode.plans import Source
from services.ingest.decode.records import Records

Milliseconds = npt.NDArray[np.int64]

UPTIME_UNKNOWN = -1
_WRAP = 1 << 32
_MODULO = _WRAP - 1
# nfdump's bound: a Last that is up to 100 s ahead of the header's sysUptime is jitter, more is a
# wrap of the 32-bit counter (Cisco bug CSCei12353).
_AHEAD_MAX_MS = 100_000
# Unix time 0 as NTP seconds (RFC 5905 figure 4).
_NTP_EPOCH_S = 2_208_988_800
# 2200-01-01. What lies beyond is no time of a flow, and the store's DateTime64 ends in 2299.
_LATEST_MS = 7_258_118_400_000


def moments(
    records: Records,
    started: tuple[Source, ...],
    ended: tuple[Source, ...],
    system_init: tuple[Source, ...],
    export_ms: Milliseconds,
    uptime_ms: Milliseconds,
) -> tuple[Milliseconds | None, Milliseconds | None]:
    """Return when the flows started and ended; None where no field says so.

    export_ms: time of the header per record; uptime_ms: its sysUptime, UPTIME_UNKNOWN in IPFIX.
    """
    if system_init:
        init = _whole(records.number(system_init[0]))
        uptime_ms = np.where(init > 0, export_ms - init, uptime_ms)
    first = next((s for s in started if s.element.reading is Reading.UPTIME), None)
    last = next((s for s in ended if s.element.reading is Reading.UPTIME), None)
    switched: tuple[Milliseconds | None, Milliseconds | None] = (None, None)
    if first is not None or last is not None:
        switched = switched_ms(
            _whole(records.number(first)) if first is not None else None,
            _whole(records.number(last)) if last is not None else None,
            export_ms=export_ms,
            uptime_ms=uptime_ms,
        )
    start = _coalesce(records, started, switched[0], export_ms, None)
    return start, _coalesce(records, ended, switched[1], export_ms, start)


def switched_ms(
    first: Milliseconds | None,
    last: Milliseconds | None,
    *,
    export_ms: Milliseconds,
    uptime_ms: Milliseconds,
) -> tuple[Milliseconds | None, Milliseconds | None]:
    """Return the times of First and Last (elements 22, 21): ms of sysUptime, modulo 2**32."""
    known = uptime_ms >= 0
    anchor = last if last is not None else first
    if anchor is None:
        return None, None
    age = (uptime_ms - anchor) & _MODULO
    age = np.where(age >= _WRAP - _AHEAD_MAX_MS, age - _WRAP, age)
    moment = np.where(known, export_ms - age, 0)
    if last is None:
        return moment, None
    if first is None:
        return None, moment
    duration = (last - first) & _MODULO
    # A First that is a little after its Last is jitter too, not a flow of 49 days.
    duration = np.where(duration >= _WRAP - _AHEAD_MAX_MS, 0, duration)
    return np.where(known, moment - duration, 0), moment


def ntp_ms(stamp: npt.NDArray[np.unsignedinteger[Any]]) -> Milliseconds:
    """Return ms since 1970 of 64-bit NTP stamps, 0 for 0 (RFC 7011 section 6.1.9)."""
    wide = stamp.astype(np.uint64)
    seconds = (wide >> np.uint64(32)).astype(np.int64)
    fraction = (wide & np.uint64(0xFFFFFFFF)).astype(np.int64)
    # The seconds wrap in 2036; a stamp before 1968 is one after that.
    seconds = np.where(seconds < 1 << 31, seconds + _WRAP, seconds)
    return np.where(wide == 0, 0, (seconds - _NTP_EPOCH_S) * 1000 + (fraction * 1000 >> 32))


def _coalesce(
    records: Records,
    sources: tuple[Source, ...],
    switched: Milliseconds | None,
    export_ms: Milliseconds,
    start: Milliseconds | None,
) -> Milliseconds | None:
    """Return the first known of several fields, per record."""
    found: Milliseconds | None = None
    for source in sources:
        moment = _moment(records, source, switched, export_ms, start)
        if moment is None:
            continue
        moment = np.where((moment < 0) | (moment > _LATEST_MS), 0, moment)
        found = moment if found is None else np.where(found != 0, found, moment)
    return found


def _moment(
    records: Records,
    source: Source,
    switched: Milliseconds | None,
    export_ms: Milliseconds,
    start: Milliseconds | None,
) -> Milliseconds | None:
    reading = source.element.reading
    if reading is Reading.UPTIME:
        return switched
    if reading is Reading.NTP:
        return ntp_ms(records.number(source))
    value = _whole(records.number(source))
    if reading is Reading.SECONDS:
        return value * 1000
    if reading is Reading.MILLISECONDS:
        return value
    if reading is Reading.BEFORE_EXPORT:
        return np.where(value == 0, export_ms, export_ms - value // 1000)
    if start is None:
        return None
    duration = value if reading is Reading.DURATION_MS else value // 1000
    return np.where(start > 0, start + duration, 0)


def _whole(value: npt.NDArray[np.unsignedinteger[Any]]) -> Milliseconds:
    """Return as int64, cut where nothing sensible remains, so that no sum overflows."""
    if value.dtype.itemsize < 8:
        return value.astype(np.int64)
    cut: npt.NDArray[np.uint64] = np.minimum(value, np.uint64(1 << 48))
    return cut.astype(np.int64)

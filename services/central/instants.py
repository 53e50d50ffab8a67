"""Instants as people type and read them."""

import re
from datetime import UTC, datetime
from typing import Final

_UNITS_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_RELATIVE = re.compile(r"-([0-9]{1,9})([smhdw])")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_instant(text: str, now_ms: int) -> int:
    """Return ms since 1970 of RFC 3339 text, `now`, or a time before now: `-30s -15m -6h -7d -2w`.

    Raises ValueError; a time without its zone is none.
    """
    if text == "now":
        return now_ms
    if relative := _RELATIVE.fullmatch(text):
        return now_ms - int(relative[1]) * _UNITS_MS[relative[2]]
    # In a URL a plus sign means a space: `...T10:00:00+02:00` arrives so when it is not escaped.
    instant = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    if instant.tzinfo is None:
        raise ValueError("the zone is missing")
    return (instant - _EPOCH) // (datetime.resolution * 1000)


def format_instant(instant_ms: int) -> str:
    """Return RFC 3339 in UTC with milliseconds: `2026-03-02T14:30:00.000Z`."""
    instant = datetime.fromtimestamp(instant_ms / 1000, UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""Time ranges as a URL says them: relative to now, or between two instants."""

import re
from dataclasses import dataclass
from typing import Final

from services.central.instants import format_instant, parse_instant

UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
MINUTE_MS: Final = 60_000
SHORTEST_MS: Final = MINUTE_MS
LONGEST_MS: Final = 3 * 366 * 86_400_000
FARTHEST_S: Final = 50 * 366 * 86_400
"""No clock that is right has 1970 there, before which the store can name no time."""
EARLIEST_MS: Final = 0
LATEST_MS: Final = (2**32 - 1) // 60 * 60_000
_RELATIVE: Final = re.compile(r"(?:now)?-([0-9]{1,9})([smhdw])")


@dataclass(frozen=True, slots=True)
class Relative:
    """Ends now, or `until_s` before; both are seconds before now."""

    since_s: int
    until_s: int = 0

    def at(self, now_ms: int) -> tuple[int, int]:
        """Return from and to, ms, UTC."""
        return now_ms - self.since_s * 1000, now_ms - self.until_s * 1000


@dataclass(frozen=True, slots=True)
class Absolute:
    """Between two instants, ms, UTC; `to_ms` exclusive."""

    from_ms: int
    to_ms: int

    def at(self, now_ms: int) -> tuple[int, int]:
        """Return from and to; `now_ms` changes nothing."""
        return self.from_ms, self.to_ms


TimeRange = Relative | Absolute

DEFAULT: Final = Relative(3600)
PRESETS: Final[tuple[tuple[str, Relative], ...]] = (
    ("Last 5 minutes", Relative(300)),
    ("Last 15 minutes", Relative(900)),
    ("Last 30 minutes", Relative(1800)),
    ("Last hour", Relative(3600)),
    ("Last 3 hours", Relative(3 * 3600)),
    ("Last 6 hours", Relative(6 * 3600)),
    ("Last 12 hours", Relative(12 * 3600)),
    ("Last 24 hours", Relative(86_400)),
    ("Last 2 days", Relative(2 * 86_400)),
    ("Last 7 days", Relative(7 * 86_400)),
    ("Last 30 days", Relative(30 * 86_400)),
    ("Last 90 days", Relative(90 * 86_400)),
)


def read_range(from_text: str, to_text: str) -> TimeRange:
    """Return the range between two texts: `now-3h`, `-3h`, `now`, RFC 3339 or ms since 1970.

    Raises ValueError where either is none of these, or the range is empty, far too long or too long
    ago. A relative start with an absolute end makes no sense and is refused.
    """
    since_s, until_s = _relative_s(from_text), _relative_s(to_text)
    if since_s is not None and until_s is not None:
        if since_s > FARTHEST_S:
            raise ValueError("the range may begin before 1970")
        found: TimeRange = Relative(since_s, until_s)
    elif since_s is None and until_s is None:
        found = Absolute(_instant_ms(from_text), _instant_ms(to_text))
    else:
        raise ValueError("one end is relative and the other is not")
    from_ms, to_ms = found.at(LONGEST_MS)
    if not SHORTEST_MS <= to_ms - from_ms <= LONGEST_MS:
        raise ValueError("the range is shorter than a minute or longer than three years")
    return found


def write_range(chosen: TimeRange) -> tuple[str, str]:
    """Return what `read_range` reads back."""
    match chosen:
        case Relative(since_s, until_s):
            return f"now-{_span(since_s)}", f"now-{_span(until_s)}" if until_s else "now"
        case Absolute(from_ms, to_ms):
            return _short(from_ms), _short(to_ms)


def label(chosen: TimeRange) -> str | None:
    """Return what a person calls the range; None for an absolute one: that needs a time zone."""
    if isinstance(chosen, Absolute):
        return None
    for text, preset in PRESETS:
        if preset == chosen:
            return text
    if chosen.until_s:
        return f"{_span(chosen.since_s)} to {_span(chosen.until_s)} ago"
    return f"Last {_span(chosen.since_s)}"


def wider(chosen: TimeRange, now_ms: int) -> TimeRange:
    """Return a range twice as long around the same middle; one that ends now still does."""
    if isinstance(chosen, Relative) and not chosen.until_s:
        return Relative(min(chosen.since_s * 2, LONGEST_MS // 1000))
    from_ms, to_ms = chosen.at(now_ms)
    half = (to_ms - from_ms) // 2
    from_ms = max(EARLIEST_MS, from_ms - half)
    return Absolute(from_ms, min(to_ms + half, from_ms + LONGEST_MS, LATEST_MS))


def earlier(chosen: TimeRange, now_ms: int) -> TimeRange:
    """Return the range of the same length right before."""
    from_ms, to_ms = chosen.at(now_ms)
    return Absolute(max(EARLIEST_MS, 2 * from_ms - to_ms), from_ms)


def later(chosen: TimeRange, now_ms: int) -> TimeRange:
    """Return the range of the same length right after; beyond now it becomes one that ends now."""
    from_ms, to_ms = chosen.at(now_ms)
    if 2 * to_ms - from_ms >= now_ms:
        return Relative(max(60, (to_ms - from_ms) // 1000))
    return Absolute(to_ms, 2 * to_ms - from_ms)


def _relative_s(text: str) -> int | None:
    if text == "now":
        return 0
    if found := _RELATIVE.fullmatch(text):
        return int(found[1]) * UNITS_S[found[2]]
    return None


def _instant_ms(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 14:
        instant_ms = int(text)
    else:
        instant_ms = parse_instant(text, 0)
    if not EARLIEST_MS <= instant_ms <= LATEST_MS:
        raise ValueError("no time between 1970 and 2106")
    return instant_ms


def _short(instant_ms: int) -> str:
    return format_instant(instant_ms).replace(".000Z", "Z")


def _span(seconds: int) -> str:
    # 24h reads better than 1d.
    for unit, least in (("d", 2), ("h", 1), ("m", 1)):
        if seconds % UNITS_S[unit] == 0 and seconds >= least * UNITS_S[unit]:
            return f"{seconds // UNITS_S[unit]}{unit}"
    return f"{seconds}s"

"""Numbers as people read them: three digits and a unit that fits."""

from typing import Final

SI: Final = ("", "k", "M", "G", "T", "P", "E")
UNIT_OF: Final = {"bytes": "bit/s", "packets": "packets/s", "flows": "flows/s"}
"""Metric -> unit of its rate."""
_WORDS: Final = ("packets/s", "flows/s")
SHORT_UNIT_OF: Final = {"bytes": "bit/s", "packets": "pps", "flows": "fps"}


def with_unit(value: float, unit: str) -> str:
    """Return `1.23 Gbit/s`, `12.3 kB`, `0 bit/s`; powers of 1000, as the field counts."""
    if value == 0:
        return f"0 {unit}"
    scaled, power = abs(value), 0
    # 999.5 would be written 1000: it belongs to the next unit.
    while scaled >= 999.5 and power < len(SI) - 1:
        scaled /= 1000
        power += 1
    sign = "-" if value < 0 else ""
    # A prefix joins a symbol (Mbit/s, kpps), but stands alone before a word (k packets/s).
    space = " " if power and unit in _WORDS else ""
    return f"{sign}{three_digits(scaled)} {SI[power]}{space}{unit}"


def three_digits(value: float) -> str:
    """Return 1.23, 12.3, 123; small values as 0.123, 0.012."""
    if value >= 99.95:
        return f"{value:.0f}"
    if value >= 9.995:
        return f"{value:.1f}"
    if value >= 0.9995:
        return f"{value:.2f}"
    return f"{value:.3f}".rstrip("0").rstrip(".") if value >= 0.001 else f"{value:.1g}"


def rate(metric: str, amount: float, seconds: float) -> float:
    """Return an amount over a time as its rate: bytes as bit/s, others per second."""
    if seconds <= 0:
        return 0.0
    return amount * (8 if metric == "bytes" else 1) / seconds


def rate_text(metric: str, per_second: float) -> str:
    """Return a rate with its unit; `per_second` as `rate` returns it."""
    return with_unit(per_second, UNIT_OF[metric])


def count(value: int) -> str:
    """Return a whole number with thin spaces between thousands: exact, and read at a glance."""
    return f"{value:,}".replace(",", "\u2009")


def share(part: float, whole: float) -> str:
    """Return a percentage; `<0.1 %` for what is there and small, `250 %` for more than all."""
    if whole <= 0 or part <= 0:
        return "0 %"
    percent = 100 * part / whole
    if percent < 0.1:
        return "<0.1 %"
    return f"{percent:.1f} %" if percent < 99.95 else f"{percent:.0f} %"


def age(seconds: float) -> str:
    """Return how long ago: `now`, `12 s`, `3 min`, `5 h`, `2 d`."""
    if seconds < 2:
        return "now"
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"

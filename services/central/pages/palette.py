"""Colours that people with any colour vision tell apart (Okabe and Ito, 2008).

Charts name CSS variables; the style sheet gives each its tone for light and for dark.
"""

from typing import Final

IN: Final = "var(--sf-in)"
OUT: Final = "var(--sf-out)"
SERIES: Final = tuple(f"var(--sf-{number})" for number in range(1, 9))
REST: Final = "var(--sf-rest)"
TEXT: Final = "var(--sf-ink-2)"
GRID: Final = "var(--sf-grid)"
AXIS: Final = "var(--sf-line)"


def series(index: int) -> str:
    """Return the colour of the index-th group, largest first; those beyond share one."""
    return SERIES[index] if index < len(SERIES) else REST

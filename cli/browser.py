"""Opening a page in the user's browser, where there is one."""

import os
import sys
import webbrowser


def open_page(url: str) -> None:
    """Open `url` for whoever sits at this terminal; do nothing without terminal or display."""
    has_display = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    # Over a desktop's remote shell there is no display, and a text browser would take the terminal.
    if sys.stdout.isatty() and (has_display or sys.platform == "darwin"):
        webbrowser.open(url)

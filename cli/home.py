"""Where a single-machine system keeps everything."""

from pathlib import Path


def default_home() -> Path:
    """Return the folder used without `--home`: `~/.local/share/steadflow`."""
    return Path.home() / ".local" / "share" / "steadflow"

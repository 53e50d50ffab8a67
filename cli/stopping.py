"""Ctrl-C and SIGTERM as a flag, so that a command can say what it did before it ends."""

import signal
from types import FrameType
from typing import Self


class Stopped:
    """True once the process was asked to stop (SIGINT, SIGTERM); a context that listens.

    times: how often it was asked; whoever asks twice does not want to wait.
    """

    def __init__(self) -> None:
        """Listen only inside the context."""
        self.times = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        """Take the signals over."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *raised: object) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # as signal() returned it

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.times += 1

    def __bool__(self) -> bool:
        """Return whether somebody asked."""
        return self.times > 0

"""Single keys from the terminal, while a command draws."""

import contextlib
import os
import select
import sys
import termios
import tty
from collections.abc import Iterator


@contextlib.contextmanager
def keys(descriptor: int | None = None) -> Iterator["Keys"]:
    """Read keys as they are pressed, not shown, until the block ends; Ctrl-C stays a signal.

    descriptor: of the terminal, by default standard input. Where that is none, no key ever comes.
    """
    descriptor = sys.stdin.fileno() if descriptor is None else descriptor
    if not _is_ours(descriptor):
        yield Keys(None)
        return
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield Keys(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _is_ours(descriptor: int) -> bool:
    """Whether it is a terminal that does not stop this process for being in the background."""
    if not os.isatty(descriptor):
        return False
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:
        # Nobody's controlling terminal: it stops nobody.
        return True


class Keys:
    """What was pressed. descriptor: of a terminal, None without one."""

    def __init__(self, descriptor: int | None) -> None:
        """See `keys`."""
        self._descriptor = descriptor

    @property
    def can_come(self) -> bool:
        """Whether there is a terminal to press keys on."""
        return self._descriptor is not None

    def pressed(self, wait_s: float) -> str:
        """Return what was pressed, once something is or `wait_s` is over; then nothing."""
        watched = [] if self._descriptor is None else [self._descriptor]
        ready, _, _ = select.select(watched, [], [], wait_s)
        if not ready:
            return ""
        found = os.read(ready[0], 64)
        if not found:
            # The terminal is gone: it would be ready for ever.
            self._descriptor = None
        return found.decode(errors="replace")

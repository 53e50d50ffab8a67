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
        # `select` knows no descriptor above 1,023.
        watched = select.poll()
        if self._descriptor is not None:
            watched.register(self._descriptor, select.POLLIN)
        if not watched.poll(wait_s * 1000) or self._descriptor is None:
            return ""
        found = os.read(self._descriptor, 64)
        if not found:
            # The terminal is gone: it would be ready for ever.
            self._descriptor = None
        return found.decode(errors="replace")

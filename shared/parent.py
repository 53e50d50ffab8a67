"""A child process that ends with its parent."""

import ctypes
import os
import signal

# prctl(2): the number is part of Linux's stable interface.
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent_pid: int | None = None, *, by: int = signal.SIGKILL) -> None:
    """Ask the kernel to send `by` to this process when the thread that started it ends.

    parent_pid: who must still be there; this process exits at once when it is not (it died before
    the kernel was asked). The kernel watches the *thread* that forked: start children from a thread
    that lives as long as the process. Raises OSError where the kernel refuses.
    """
    if _libc.prctl(_PR_SET_PDEATHSIG, by, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) was refused")
    if parent_pid is not None and os.getppid() != parent_pid:
        os._exit(1)

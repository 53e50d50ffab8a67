"""A place far away: what goes in or out arrives later, in order, and nothing else is done to it.

Two network devices of user space: what is read from one is written to the other when it is due.
They promise no offloads, so the kernel hands over whole frames with sums that are right.
"""

import collections
import fcntl
import os
import selectors
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
FRAME_MAX = 65_536
_ROOT = Path(__file__).parents[2]


def open_device(name: str) -> int:
    """Make a device in this thread's network; it lives as long as the descriptor.

    Raises OSError where that is not allowed.
    """
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    wanted = struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI)
    try:
        fcntl.ioctl(device, TUNSETIFF, wanted)
    except OSError:
        os.close(device)
        raise
    return device


@contextmanager
def carrying(one: int, other: int, one_way_ms: float) -> Iterator[None]:
    """Have a process of its own carry frames between two devices for the block."""
    carrier = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.distance", str(one), str(other), str(one_way_ms)],
        pass_fds=(one, other),
        cwd=_ROOT,
    )
    try:
        yield
    finally:
        carrier.kill()
        carrier.wait()


def carry(one: int, other: int, one_way_s: float) -> None:
    """Carry frames both ways until it is killed."""
    ways = {one: other, other: one}
    due: collections.deque[tuple[float, int, bytes]] = collections.deque()
    with selectors.DefaultSelector() as selector:
        for device in ways:
            selector.register(device, selectors.EVENT_READ)
        while True:
            # One wait for both directions: what came first is due first.
            wait_s = max(0.0, due[0][0] - time.monotonic()) if due else None
            for key, _ in selector.select(wait_s):
                due.extend(
                    (time.monotonic() + one_way_s, ways[key.fd], frame) for frame in _frames(key.fd)
                )
            while due and due[0][0] <= time.monotonic():
                _, device, frame = due.popleft()
                _write(device, frame)


def _frames(device: int) -> Iterator[bytes]:
    while True:
        try:
            yield os.read(device, FRAME_MAX)
        except BlockingIOError:
            return


def _write(device: int, frame: bytes) -> None:
    try:
        os.write(device, frame)
    except OSError:
        # Its link is down or its queue full: a frame gets lost, as on any line.
        return


if __name__ == "__main__":
    carry(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000)

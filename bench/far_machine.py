"""Another machine on this one: a network namespace that reaches us by one cable.

There this machine's name leads to the cable's end here, where a link that may be slow can listen;
here it leads to this machine itself, as it does on any.
"""

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

NEAR = "10.99.77.1"
FAR = "10.99.77.2"
_NETNS = Path("/etc/netns")


class FarMachine(NamedTuple):
    """Run `[*inside, ...]` to run it there. us: our name, here and there."""

    inside: tuple[str, ...]
    us: str
    address: str = FAR
    our_end: str = NEAR


@contextlib.contextmanager
def far_machine() -> Iterator[FarMachine]:
    """A machine for as long as the block lasts. Raises OSError without root or `ip`."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        raise PermissionError("another machine on this one needs root, and `ip` of iproute2")
    name, us = f"steadflow-{os.getpid()}", socket.gethostname()
    cable = f"sf{os.getpid()}"
    hosts = _NETNS / name / "hosts"
    try:
        hosts.parent.mkdir(parents=True)
        hosts.write_text(f"127.0.0.1 localhost\n{NEAR} {us}\n")
        _ip("netns", "add", name)
        _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("address", "add", f"{NEAR}/30", "dev", cable)
        _ip("link", "set", cable, "up")
        _ip("-n", name, "address", "add", f"{FAR}/30", "dev", "eth0")
        for interface in ("lo", "eth0"):
            _ip("-n", name, "link", "set", interface, "up")
        yield FarMachine(("ip", "netns", "exec", name), us)
    finally:
        for words in (("link", "delete", cable), ("netns", "delete", name)):
            with contextlib.suppress(OSError):
                _ip(*words)
        shutil.rmtree(hosts.parent, ignore_errors=True)
        with contextlib.suppress(OSError):
            _NETNS.rmdir()


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")

"""Networks of their own on this machine, joined by a bridge: who is cut off hears nobody.

They have no names: the kernel forgets each with the last process in it, however a test ends.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import MappingProxyType

from tests.faults.distance import carrying, open_device

CLONE_NEWNET = 0x40000000
FAR = "far"
SUBNET = "10.77.0"
"""Seen from nowhere else: the bridge has a network of its own, too."""
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a machine is. host: by which others reach it; bind: where it listens for them.

    namespace: descriptor of its network; None for that of whoever runs the test. site: another one
    than the others' where the way to it is long.
    """

    host: str
    bind: str
    namespace: int | None = None
    site: str = ""

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets, threads and processes that this thread begins in the block are there."""
        if self.namespace is None:
            yield
            return
        before = _here()
        try:
            _enter(self.namespace)
            yield
        finally:
            _enter(before)
            os.close(before)


@dataclass(frozen=True, slots=True)
class Network:
    """Places that reach each other. bridge: what joins them; None where all are one place."""

    places: Sequence[Place]
    bridge: Place | None

    @property
    def can_cut(self) -> bool:
        """Whether a place can be cut off."""
        return self.bridge is not None

    @contextmanager
    def cut_off(self, place: Place) -> Iterator[None]:
        """Unplug a place for the block: what is sent gets lost, and nobody is told."""
        assert self.bridge is not None, "these places are one"
        port = _port(self.places.index(place))
        with self.bridge.inside():
            _ip("link", "set", port, "down")
        try:
            yield
        finally:
            with self.bridge.inside():
                _ip("link", "set", port, "up")


@contextmanager
def network_of(count: int, far_ms: Mapping[int, float] = MappingProxyType({})) -> Iterator[Network]:
    """Make so many places; where that is not allowed, say so and take loopback for all of them.

    far_ms: how long what goes to a place, and what comes from there, is on its way.
    """
    with ExitStack() as stack:
        try:
            network = _apart(count, far_ms, stack)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"\n  NOBODY CAN BE CUT OFF: all machines are on loopback, as {error}")
            network = Network([Place("localhost", "127.0.0.1") for _ in range(count)], None)
        yield network


def _apart(count: int, far_ms: Mapping[int, float], stack: ExitStack) -> Network:
    bridge = Place("", "", _new_namespace(stack))
    places = [
        Place(
            f"{SUBNET}.{number + 1}", "0.0.0.0", _new_namespace(stack),
            FAR if number in far_ms else "",
        )
        for number in range(count)
    ]  # fmt: skip
    with bridge.inside():
        _ip("link", "add", "bridge", "type", "bridge")
        _ip("link", "set", "bridge", "up")
        for number, place in enumerate(places):
            if number in far_ms:
                _join_from_afar(place, number, far_ms[number], stack)
            else:
                there = f"/proc/{os.getpid()}/fd/{place.namespace}"
                peer = ("peer", "name", "eth0", "netns", there)
                _ip("link", "add", _port(number), "type", "veth", *peer)
            _ip("link", "set", _port(number), "master", "bridge", "up")
    for place in places:
        with place.inside():
            _ip("link", "set", "lo", "up")
            _ip("address", "add", f"{place.host}/24", "dev", "eth0")
            _ip("link", "set", "eth0", "up")
    return Network(places, bridge)


def _join_from_afar(place: Place, number: int, one_way_ms: float, stack: ExitStack) -> None:
    here = open_device(_port(number))
    stack.callback(os.close, here)
    with place.inside():
        there = open_device("eth0")
    stack.callback(os.close, there)
    stack.enter_context(carrying(here, there, one_way_ms))


def _new_namespace(stack: ExitStack) -> int:
    before = _here()
    try:
        _check(_libc.unshare(CLONE_NEWNET))
        made = _here()
        stack.callback(os.close, made)
        _enter(before)
    finally:
        os.close(before)
    return made


def _here() -> int:
    """Return a descriptor of this thread's network."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _enter(namespace: int) -> None:
    _check(_libc.setns(namespace, CLONE_NEWNET))


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _port(number: int) -> str:
    return f"port{number}"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)

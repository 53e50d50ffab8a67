"""softflowd and pmacct's nfprobe, run over a capture; what they exported is kept in order.

They send to a port of the test's own, which keeps every datagram: so the test knows what was
exported, and can pass it on from an address of its own for each exporter.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import psutil
import pytest

from tests.waiting import wait_until

# Larger than all that one run exports: both probes send everything in one burst at the end.
RECEIVE_BUFFER_BYTES = 16 << 20
SO_RCVBUFFORCE = 33
RUN_S_MAX = 120
IDLE_LOOKS = 10
PACKET_BUFFER_BYTES = 1024


def needs(program: str) -> str:
    """Return the path of a Debian program, or skip loudly."""
    found = shutil.which(program, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if found is None:
        pytest.skip(f"{program} is not installed: apt-get install softflowd pmacct")
    return found


def softflowd(capture: Path, version: int) -> list[bytes]:
    """Return the datagrams that softflowd exports for `capture`."""
    pid_file = capture.parent / f"softflowd-{version}.pid"
    command = [needs("softflowd"), "-r", str(capture), "-v", str(version), "-d", "-m", "100000"]
    command += ["-c", "none", "-p", str(pid_file)]
    with Collector() as collector:
        _run([*command, "-n", f"127.0.0.1:{collector.port}"])
        return collector.datagrams()


def nfprobe(capture: Path, version: int) -> list[bytes]:
    """Return the datagrams that pmacct's nfprobe exports for `capture`.

    At the end of a capture pmacctd ends its plugin at once, whatever that has left to read. So it
    reads from a pipe that stays open until the plugin waits for more, one packet a buffer.
    """
    program = needs("pmacctd")
    pipe = capture.parent / f"nfprobe-{version}.pipe"
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    with Collector() as collector:
        config = pipe.with_suffix(".conf")
        config.write_text(
            f"""daemonize: false
pcap_savefile: {pipe}
plugins: nfprobe
nfprobe_receiver: 127.0.0.1:{collector.port}
nfprobe_version: {version}
nfprobe_maxflows: 100000
aggregate: src_host, dst_host, src_port, dst_port, proto, tos
plugin_buffer_size: {PACKET_BUFFER_BYTES}
plugin_pipe_size: 64000000
"""
        )
        with config.with_suffix(".log").open("wb") as log:
            process = subprocess.Popen([program, "-f", str(config)], stdout=log, stderr=log)
        try:
            with _open_once_read(pipe) as written:
                written.write(capture.read_bytes())
                written.flush()
                core = psutil.Process(process.pid)
                wait_until(lambda: len(core.children()) == 1, "nfprobe runs", RUN_S_MAX)
                _wait_idle([core, *core.children()])
            process.wait(RUN_S_MAX)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        return collector.datagrams()


def _open_once_read(pipe: Path) -> IO[bytes]:
    """Open the pipe when somebody reads from it: a plain open would wait for ever for nobody."""
    opened: list[int] = []

    def has_reader() -> bool:
        with contextlib.suppress(OSError):
            opened.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        return bool(opened)

    wait_until(has_reader, "pmacctd opens the capture", RUN_S_MAX)
    os.set_blocking(opened[0], True)
    return os.fdopen(opened[0], "wb")


def _wait_idle(processes: Sequence[psutil.Process]) -> None:
    """Wait until all sleep, and used no processor time over some looks.

    Whoever is starved of processor time does not sleep, and so is not taken for idle.
    """
    seen: deque[object] = deque(maxlen=IDLE_LOOKS)

    def are_idle() -> bool:
        asleep = all(each.status() == psutil.STATUS_SLEEPING for each in processes)
        seen.append([each.cpu_times()[:2] for each in processes] if asleep else object())
        return len(seen) == IDLE_LOOKS and all(look == seen[0] for look in seen)

    wait_until(are_idle, "nfprobe has nothing left to do", RUN_S_MAX, 0.1)


class Collector:
    """A UDP port on loopback whose datagrams a thread keeps."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._kept: list[bytes] = []
        self._thread = threading.Thread(target=self._keep)

    def __enter__(self) -> "Collector":
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        if self._thread.is_alive():
            self.datagrams()
        self._socket.close()

    def datagrams(self) -> list[bytes]:
        """Stop and return what came, in order."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            # An empty datagram ends the thread: on loopback it comes after all before it.
            last.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        return self._kept

    def _keep(self) -> None:
        while payload := self._socket.recv(65535):
            self._kept.append(payload)


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S_MAX, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

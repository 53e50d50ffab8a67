"""nfcapd of nfdump under measurement: it writes files, in C, and sends nothing to anybody."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from bench.processes import start
from bench.tool import Taken
from bench.waiting import wait_until
from cli.ports import free_udp_port

BUFFER_BYTES = 16 << 20


def is_installed() -> bool:
    """Whether both programs are in the path."""
    return shutil.which("nfcapd") is not None and shutil.which("nfdump") is not None


def version() -> str:
    """Return nfdump's version."""
    done = subprocess.run(["nfdump", "-V"], capture_output=True, text=True, check=False)
    found = re.search(r"Version: (\S+)", done.stdout + done.stderr)
    return found[1] if found else "unknown"


class Nfcapd:
    """One nfcapd per load: it counts its CPU and its flows only once it has ended."""

    name = "nfcapd"

    def __init__(self, folder: Path) -> None:
        """folder: for its files and log."""
        self.port = free_udp_port()
        self._flows = folder / "nfcapd"
        self._log = folder / "nfcapd.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start nothing yet."""

    def begin(self) -> None:
        """Start it on an empty folder."""
        shutil.rmtree(self._flows, ignore_errors=True)
        self._flows.mkdir()
        self._process = start(
            ["nfcapd", "-b", "127.0.0.1", "-p", str(self.port), "-w", self._flows,
             "-B", str(BUFFER_BYTES)],
            log=self._log,
        )  # fmt: skip
        wait_until(self._listens, "nfcapd listens")

    def finish(self, datagrams: int) -> Taken:
        """End it, so that it writes its file, and let nfdump count what is in there."""
        assert self._process is not None
        self._process.terminate()
        _, status, used = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._process = None
        flows = 0
        for file in self._flows.glob("nfcapd.*"):
            done = subprocess.run(
                ["nfdump", "-r", file, "-I"], capture_output=True, text=True, check=True
            )
            found = re.search(r"^Flows: (\d+)$", done.stdout, re.MULTILINE)
            flows += int(found[1]) if found else 0
        size = sum(file.stat().st_size for file in self._flows.iterdir())
        return Taken(flows, size, {"nfcapd": used.ru_utime + used.ru_stime})

    def stop(self) -> None:
        """End it, where a round was broken off."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _listens(self) -> bool:
        ports = [
            line.split()[1].rpartition(":")[2]
            for line in Path("/proc/net/udp").read_text().splitlines()[1:]
        ]
        return f"{self.port:04X}" in ports

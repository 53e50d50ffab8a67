"""Sends prebuilt datagrams at a steady rate: `python -m bench.sender FILE`; a process of its own.

`sendmmsg` takes the datagrams as they lie in the file, so that sending costs little of the machine
that is measured. It goes to loopback only, once through the file, then ends.
"""

import argparse
import ctypes
import itertools
import json
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.packets import BURST, Packet
from shared.parent import die_with_parent

HOST = "127.0.0.1"
LATE_S = 0.05
"""A sender that was held up catches up on this much; the rest of its delay stays a delay."""

# struct mmsghdr and struct iovec of 64-bit Linux, see recvmsg(2) and sendmmsg(2).
_MMSGHDR = np.dtype(
    [
        ("name", "u8"), ("namelen", "u4"), ("pad1", "u4"), ("iov", "u8"), ("iovlen", "u8"),
        ("control", "u8"), ("controllen", "u8"), ("flags", "i4"), ("pad2", "u4"),
        ("len", "u4"), ("pad3", "u4"),
    ]
)  # fmt: skip
_IOVEC = np.dtype([("base", "u8"), ("len", "u8")])


def source_address(exporter: int) -> str:
    """Return the loopback address that an exporter sends from."""
    return f"127.0.7.{exporter + 1}"


def save_packets(path: Path, packets: Sequence[Packet]) -> None:
    """Write what the sender reads."""
    lengths = np.array([len(packet.payload) for packet in packets], np.uint64)
    exporters = np.array([packet.exporter for packet in packets], np.uint32)
    blob = np.frombuffer(b"".join(packet.payload for packet in packets), np.uint8)
    np.savez(path, blob=blob, lengths=lengths, exporters=exporters)


def send(path: Path, port: int, rate: float) -> dict[str, float]:
    """Send the file's datagrams to `port`, `rate` of them a second; return what was done."""
    with np.load(path) as file:
        blob, lengths, exporters = file["blob"], file["lengths"], file["exporters"]
    sockets = {number: _socket(number, port) for number in np.unique(exporters).tolist()}
    iovecs = np.zeros(lengths.size, _IOVEC)
    iovecs["base"] = blob.ctypes.data + np.cumsum(lengths) - lengths
    iovecs["len"] = lengths
    messages = np.zeros(lengths.size, _MMSGHDR)
    messages["iov"] = iovecs.ctypes.data + np.arange(lengths.size, dtype=np.uint64) * 16
    messages["iovlen"] = 1
    # Where one exporter's turn ends.
    turns = [0, *(np.flatnonzero(np.diff(exporters)) + 1).tolist(), lengths.size]
    sendmmsg = ctypes.CDLL(None, use_errno=True).sendmmsg
    started_s = first_s = time.monotonic()
    for first, last in itertools.pairwise(turns):
        file_number = sockets[int(exporters[first])].fileno()
        at = first
        while at < last:
            due_s = started_s + at / rate
            now_s = time.monotonic()
            if now_s < due_s:
                time.sleep(due_s - now_s)
            elif now_s > due_s + LATE_S:
                started_s += now_s - due_s - LATE_S
            count = min(BURST, last - at)
            where = ctypes.c_void_p(messages.ctypes.data + at * _MMSGHDR.itemsize)
            sent = sendmmsg(file_number, where, count, 0)
            if sent < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            at += sent
    return {"datagrams": lengths.size, "seconds": time.monotonic() - first_s}


def _socket(exporter: int, port: int) -> socket.socket:
    """Return a socket that sends to nobody but this port of this machine."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((source_address(exporter), 0))
    made.connect((HOST, port))
    return made


def main() -> int:
    """Send one file and print what was sent as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.sender")
    parser.add_argument("file", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True, help="datagrams a second")
    parser.add_argument("--parent", type=int, required=True, help="pid to end with")
    options = parser.parse_args()
    die_with_parent(options.parent)
    json.dump(send(options.file, options.port, options.rate), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The receiver's process, killed again and again under traffic."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.ingest.receive.receiver import PAUSE_S, pause_s
from services.ingest.receive.reuseport import ask_receive_buffer, kernel_drops, open_sockets
from services.ingest.spool.format import RecordKind
from services.ingest.status import read_status
from tests.ingest.receivers import assert_streams_are_whole, payloads_of, read_spool
from tests.waiting import wait_until

DEADLINE_S = 60
ROOT = Path(__file__).parents[2]


def start_receiver(spool: Path, sock: socket.socket) -> subprocess.Popen[bytes]:
    arguments = f"--worker 0 --socket {sock.fileno()} --parent {os.getpid()}".split()
    return subprocess.Popen(
        [sys.executable, "-m", "services.ingest.receive.receiver", *arguments],
        cwd=ROOT,
        env=os.environ
        | {"STEADFLOW_INGEST_SPOOL_DIR": str(spool), "STEADFLOW_INGEST_SEGMENT_BYTES": "65536"}
        | {"STEADFLOW_INGEST_SPOOL_BYTES_MAX": str(1 << 30)},
        pass_fds=[sock.fileno()],
    )


@pytest.mark.faults
@pytest.mark.slow
def test_kills_lose_nothing_and_every_stream_ends(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    (sock,) = open_sockets("127.0.0.1", 0, 1)
    # All of it, however late a receiver begins to read.
    ask_receive_buffer(sock, 32 << 20)
    exporter = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    exporter.connect(sock.getsockname())
    sent = 0

    def send(count: int) -> None:
        nonlocal sent
        for _ in range(count):
            exporter.send(b"%08d" % sent + bytes(chance.randrange(1_400)))
            sent += 1

    for _ in range(6):
        receiver = start_receiver(tmp_path, sock)
        send(200)
        wait_until(lambda: bool(streams_in(tmp_path)), "a stream begins")
        for _ in range(chance.randrange(1, 20)):
            send(20)
            time.sleep(chance.random() * 0.01)
        receiver.kill()
        receiver.wait()
        send(50)
    receiver = start_receiver(tmp_path, sock)

    def has_arrived() -> bool:
        records = [] if not (tmp_path / "0").exists() else read_spool(tmp_path / "0", corrupt=[])
        return len(payloads_of(records)) == sent

    wait_until(has_arrived, "all datagrams are in the spool")
    receiver.send_signal(signal.SIGTERM)
    assert receiver.wait(DEADLINE_S) == 0
    records = read_spool(tmp_path / "0")
    assert_streams_are_whole(records)
    assert records[-1][1].kind is RecordKind.END
    assert [int(payload[:8]) for payload in payloads_of(records)] == list(range(sent))
    assert kernel_drops(sock) == 0
    exporter.close()
    sock.close()


def streams_in(spool: Path) -> set[int]:
    if not (spool / "0").exists():
        return set()
    return {header.stream for header, _ in read_spool(spool / "0", corrupt=[])}


def test_it_ends_with_a_sentence_when_the_spool_is_held(tmp_path: Path) -> None:
    (sock,) = open_sockets("127.0.0.1", 0, 1)
    first = start_receiver(tmp_path, sock)
    wait_until(
        lambda: read_status(tmp_path / "0", "receiver") is not None, "the receiver has spoken"
    )
    second = start_receiver(tmp_path, sock)
    assert second.wait(DEADLINE_S) == 1
    first.terminate()
    assert first.wait(DEADLINE_S) == 0
    sock.close()


def test_a_pause_leaves_room_for_a_flood() -> None:
    # What a full gigabit sends in the pause takes a quarter of the buffer at most.
    for buffer_bytes in (65_536, 212_992, 4 << 20, 16 << 20):
        pause = pause_s(buffer_bytes)
        assert 0 < pause <= PAUSE_S
        assert pause * 125_000_000 <= buffer_bytes / 4

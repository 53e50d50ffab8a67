"""The receiver's process, started by the holder: `python -m services.ingest.receive.receiver`."""

import argparse
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from services.ingest.config import IngestConfig
from services.ingest.publish.journal import last_acknowledged
from services.ingest.receive.receiving import Receiver, ReceiverLimits
from services.ingest.receive.reuseport import receive_buffer
from services.ingest.spool.recovery import Checkpoint, Recovered, end_last_stream
from services.ingest.spool.writer import SpoolFull, SpoolHeld
from shared.config import EXIT_CONFIG, ConfigError, load
from shared.logs import log_lines
from shared.parent import die_with_parent
from shared.topics import FLOWS

log = logging.getLogger(__name__)


PAUSE_S = 0.003
"""Longest pause between two turns. Datagrams gather meanwhile, so that one wake-up, clock reading
and write serve many; without it a busy receiver is woken for every few of them."""
_FLOOD_BYTES_PER_S = 125_000_000


def read_clock() -> tuple[int, int]:
    """Return the wall clock, UTC, and the monotonic clock, both in milliseconds."""
    return time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000


def new_stream_id() -> int:
    """Return a random 64-bit id; 0 stays free to mean none."""
    return secrets.randbelow((1 << 64) - 1) + 1


def build_receiver(
    config: IngestConfig,
    worker: int,
    sock: socket.socket,
    checkpoint: Callable[[Path], Checkpoint | None],
    recover: Callable[[Path, Checkpoint | None], Recovered] = end_last_stream,
) -> Receiver:
    """Return the receiver of a worker on real clocks; recover: replaced by tests."""
    return Receiver(
        directory=config.worker_dir(worker),
        worker=config.worker_key(worker),
        sock=sock,
        limits=ReceiverLimits(
            segment_bytes=config.segment_bytes,
            spool_bytes_hard=config.spool_bytes_hard,
            partitions=FLOWS.partitions,
        ),
        clock=read_clock,
        new_stream=new_stream_id,
        checkpoint=checkpoint,
        pid=os.getpid(),
        recover=recover,
    )


def pause_s(buffer_bytes: int) -> float:
    """Return how long a socket may be left alone: a full gigabit fills a quarter of its buffer."""
    return min(PAUSE_S, buffer_bytes / (4 * _FLOOD_BYTES_PER_S))


def run(receiver: Receiver, pause: float) -> None:
    """Receive until SIGTERM or SIGINT, then end the stream. Raises as `Receiver.start` does.

    pause: seconds between two turns.
    """
    stopping = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    # A signal also writes into this pipe, which ends the wait for datagrams.
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    receiver.wake_on(woken)
    receiver.start()
    while not stopping:
        receiver.turn()
        time.sleep(pause)
    receiver.stop()


def main(
    arguments: Sequence[str] | None = None,
    *,
    recover: Callable[[Path, Checkpoint | None], Recovered] = end_last_stream,
) -> int:
    """Run the receiver of one worker on a socket that the holder bound; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m services.ingest.receive.receiver")
    parser.add_argument("--config", type=Path, help="settings file")
    parser.add_argument("--worker", type=int, required=True, help="index of the worker")
    parser.add_argument("--socket", type=int, required=True, help="descriptor of its UDP socket")
    parser.add_argument("--parent", type=int, help="pid of the holder, to end with it")
    options = parser.parse_args(arguments)
    if options.parent is not None:
        die_with_parent(options.parent)
    log_lines()
    try:
        config = load(IngestConfig, file=options.config)
        with socket.socket(fileno=options.socket) as sock:
            receiver = build_receiver(config, options.worker, sock, last_acknowledged, recover)
            run(receiver, pause_s(receive_buffer(sock)))
    except ConfigError as error:
        sys.stderr.write(f"receiver: {error}\n")
        return EXIT_CONFIG
    except (SpoolHeld, SpoolFull, OSError) as error:
        sys.stderr.write(f"receiver: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())

"""The decoder's process, started by the holder: `python -m services.ingest.publish.decoder`."""

import argparse
import asyncio
import logging
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from services.ingest.config import IngestConfig, prepare_folder
from services.ingest.decode.decoding import DecoderState
from services.ingest.decode.limits import Limits
from services.ingest.publish.allocation import keep_freed_memory, look_for_cycles_seldom
from services.ingest.publish.journal import Journal
from services.ingest.publish.publish import Publisher
from services.ingest.publish.publishing import Clocks, Publishing
from services.ingest.spool.writer import DECODER_LOCK, SpoolHeld, hold
from shared.config import EXIT_CONFIG, ConfigError, load
from shared.kafka import configured_brokers
from shared.logs import log_lines
from shared.parent import die_with_parent

log = logging.getLogger(__name__)


def read_clocks() -> Clocks:
    """Return the clocks of this machine."""
    return Clocks(wall_ms=lambda: time.time_ns() // 1_000_000, monotonic_s=time.monotonic)


def limits_of(config: IngestConfig) -> Limits:
    """Return the bounds of the decoder's state."""
    lifetime_ms = config.template_timeout_s * 1000
    return Limits(
        waiting_bytes=config.waiting_bytes_max,
        waiting_ms=config.waiting_timeout_s * 1000,
        template_lifetime_ms=lifetime_ms,
        # Use that is noted less often than that would not keep a template.
        template_touch_ms=min(Limits().template_touch_ms, lifetime_ms // 4),
    )


def build_publishing(config: IngestConfig, worker: int) -> Publishing:
    """Return the work of one decoder on its real spool and Kafka; its lock must be held."""
    directory = config.worker_dir(worker)
    journal = Journal(directory)
    if journal.cut_bytes:
        log.warning(
            "journal had %d unfinished bytes at its end worker=%d", journal.cut_bytes, worker
        )
    key = config.worker_key(worker)
    return Publishing(
        directory,
        journal,
        Publisher(configured_brokers(config), worker=key),
        collector=key,
        spool_bytes_max=config.spool_bytes_max,
        make_state=lambda: DecoderState(limits_of(config)),
        clocks=read_clocks(),
    )


async def run(publishing: Publishing) -> None:
    """Publish until SIGTERM or SIGINT, then what is in the spool for a few seconds more."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, publishing.stop)
    await publishing.run()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the decoder of one worker; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m services.ingest.publish.decoder")
    parser.add_argument("--config", type=Path, help="settings file")
    parser.add_argument("--worker", type=int, required=True, help="index of the worker")
    parser.add_argument("--parent", type=int, help="pid of the holder, to end with it")
    options = parser.parse_args(arguments)
    if options.parent is not None:
        die_with_parent(options.parent)
    keep_freed_memory()
    look_for_cycles_seldom()
    log_lines()
    # aiokafka logs an outage line by line; the decoder says it once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        config = load(IngestConfig, file=options.config)
        directory = config.worker_dir(options.worker)
        prepare_folder(directory)
        # Held until the process ends.
        hold(directory, DECODER_LOCK)
        asyncio.run(run(build_publishing(config, options.worker)))
    except ConfigError as error:
        sys.stderr.write(f"decoder: {error}\n")
        return EXIT_CONFIG
    except (SpoolHeld, OSError) as error:
        sys.stderr.write(f"decoder: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

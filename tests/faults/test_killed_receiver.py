"""A receiver is killed in the middle of a write, by real processes, and what its successor does."""

import secrets
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.losses import LossReason
from shared.topics import FLOWS
from tests.faults.collectors import collector
from tests.ingest.logs import Read, read_trimmed
from tests.ingest.spools import v9_flows, v9_template
from tests.kafka.test_publish import read_topic
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.faults]

DATAGRAMS = 40
FLOWS_EACH = 10


@dataclass
class Outcome:
    read: Read
    first_stream: int
    corrupt_bytes: float

    @property
    def lost(self) -> list[tuple[LossReason, int]]:
        return [(loss.reason, loss.datagrams) for r in self.read.ranges for loss in r.losses]


async def kill_a_receiver(broker: str, folder: Path, without: str) -> Outcome:
    name = f"careless-{secrets.token_hex(4)}"
    payloads = [v9_template(), *(v9_flows(FLOWS_EACH, seed=n + 1) for n in range(DATAGRAMS))]

    def is_done() -> bool:
        worker = running.worker()
        return (
            len(worker.get("streams", [])) == 2
            and worker["receiver"].get("datagrams") == len(payloads)
            and running.is_drained()
        )

    with collector(folder, name=name, broker=broker, without=without) as running:
        running.send(payloads)
        wait_until(
            lambda: running.worker()["receiver"].get("datagrams") == len(payloads), "all is there"
        )
        running.kill_receiver_while_it_writes()
        running.send(payloads)
        wait_until(is_done, "all is published")
        (corrupt_bytes,) = [
            float(line.split()[-1])
            for line in running.get("/metrics").text.splitlines()
            if line.startswith("steadflow_ingest_corrupt_bytes_total{")
        ] or [0.0]
        first_stream = int(running.worker()["streams"][0]["stream"], 16)
    records = [one for one in await read_topic(broker, FLOWS) if one[0].worker == f"{name}/0"]
    outcome = Outcome(read_trimmed(records), first_stream, corrupt_bytes)
    # Whatever the safeguard is for, rows are never lost or doubled by its absence.
    assert outcome.read.gaps == []
    assert outcome.read.rows.num_rows == 2 * DATAGRAMS * FLOWS_EACH
    assert outcome.first_stream in outcome.read.ended
    return outcome


async def test_a_killed_receiver_leaves_a_whole_stream(broker: str, tmp_path: Path) -> None:
    outcome = await kill_a_receiver(broker, tmp_path, "nothing")

    assert outcome.corrupt_bytes == 0
    assert outcome.lost == []


async def test_without_cutting_the_tail_the_spool_looks_damaged(
    broker: str, tmp_path: Path
) -> None:
    """Negative control."""
    outcome = await kill_a_receiver(broker, tmp_path, "cut")

    assert outcome.corrupt_bytes > 0


async def test_without_the_end_mark_a_stream_ends_with_a_loss_that_never_was(
    broker: str, tmp_path: Path
) -> None:
    """Negative control: only where the next stream begins does the decoder learn of the end."""
    outcome = await kill_a_receiver(broker, tmp_path, "mark")

    assert outcome.lost == [(LossReason.SPOOL_CORRUPT, 1)]

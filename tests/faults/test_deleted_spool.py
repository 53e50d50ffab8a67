"""The spool is deleted while datagrams come: what Kafka did not have yet is a named gap."""

import secrets
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from services.ingest.spool.format import RecordKind
from services.ingest.spool.reader import segments
from shared.topics import FLOWS
from tests.faults.collectors import Collector, collector
from tests.ingest.logs import read_trimmed
from tests.ingest.receivers import read_spool
from tests.ingest.spools import v9_flows, v9_template
from tests.kafka.test_publish import read_topic
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.faults]

FLOWS_EACH = 10
V9_HEADER_BYTES = 20


async def test_a_spool_deleted_under_load_costs_a_named_gap_at_most(
    broker: str, tmp_path: Path
) -> None:
    name = f"deleted-{secrets.token_hex(4)}"
    enough = threading.Event()
    with collector(tmp_path, name=name, broker=broker) as running, ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send_until, enough, running)
        try:
            wait_until(lambda: fact(running, "datagrams") > 200, "load")
            wait_until(lambda: running.worker()["last_acknowledged"]["number"] > 100, "published")
            directory = running.spool / "0"
            # Open files outlive their names: what is written into them until it is noticed, too.
            opened = [(s.path.name, s.path.open("rb")) for s in segments(directory)]
            shutil.rmtree(directory)
            wait_until(lambda: fact(running, "streams") == 2, "a new stream")
            before = fact(running, "datagrams")
            wait_until(lambda: fact(running, "datagrams") > before + 200, "load goes on")
        finally:
            enough.set()
        sent = sending.result(timeout=60)
        wait_until(lambda: fact(running, "datagrams") == sent, "all is there")
        wait_until(running.is_drained, "all is published")
    deleted = tmp_path / "deleted"
    deleted.mkdir()
    for file_name, file in opened:
        with file, (deleted / file_name).open("wb") as copy:
            shutil.copyfileobj(file, copy)

    read = read_trimmed([x for x in await read_topic(broker, FLOWS) if x[0].worker == f"{name}/0"])
    old, new = numbers_of(deleted), numbers_of(running.spool / "0")
    missing = {n for n in old if any(g[0] == n[0] and g[1] <= n[1] <= g[2] for g in read.gaps)}
    assert len(old) + len(new) == sent
    found = zip(read.rows["stream"].to_pylist(), read.rows["datagram"].to_pylist(), strict=True)
    assert set(found) == (old | new) - missing
    assert read.rows.num_rows == FLOWS_EACH * (sent - len(missing))
    # Both streams are over: the deleted one's end mark stands in the new spool.
    assert read.ended == {stream for stream, _ in old | new}


def send_until(enough: threading.Event, running: Collector) -> int:
    """Send paced datagrams, each with its template; how many."""
    sent = 0
    while not enough.wait(0.02):
        flows = v9_flows(FLOWS_EACH, seed=sent + 1)
        running.send([v9_template() + flows[V9_HEADER_BYTES:]] * 5)
        sent += 5
    return sent


def fact(running: Collector, name: str) -> Any:
    return running.worker().get("receiver", {}).get(name, 0)


def numbers_of(directory: Path) -> set[tuple[int, int]]:
    """Return stream and number of each datagram in a spool."""
    return {
        (header.stream, record.number)
        for header, record in read_spool(directory)
        if record.kind is RecordKind.DATAGRAM
    }

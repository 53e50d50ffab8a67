"""One running system, and everything around it fails in turn: nothing is lost, nothing is doubled.

Each test sends invented traffic, breaks something meanwhile, and waits until both centrals count
exactly what was sent. The last one compares every row, roll-up and digest with the spool.
"""

import asyncio
import json
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow.compute as pc
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from services.ingest.spool.format import RecordKind
from services.ingest.spool.reader import SPOOL_START, SpoolReader
from shared.kafka import Brokers, KafkaAway, ensure_topics, partition_facts
from shared.plain_http import PLAIN_HTTP
from shared.topics import FLOWS
from tests import draws, loops
from tests.faults.audit import difference, markers, spool_rows, store_rows
from tests.faults.disks import fill, filled, small_disk
from tests.faults.system import SUMS, System, kill, running, sums_of, traffic
from tests.stopping import frozen
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow]

CENTRALS = ("central-a", "central-b")
WORKER = "collector-1/0"
DEADLINE_S = 240
FROZEN_S = 60 if draws.ALL else 20
"""Longer than any client waits for an answer."""


@dataclass
class Sent:
    """What the traffic of one block was, known once the block is over."""

    datagrams: int = 0


@dataclass
class Trouble:
    """A running system and what it must count by now."""

    system: System
    folder: Path
    small_disks: bool
    expected: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SUMS, 0))
    urls: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        facts = self.system.status()
        for service in (*facts["centrals"], *facts["collectors"]):
            self.urls[service["name"]] = service["url"]

    @property
    def spool(self) -> Path:
        return self.system.home / "collector-1" / "spool" / "0"

    @property
    def kept(self) -> Path:
        """Copies of every segment: a decoder that needs room deletes what Kafka has."""
        return self.folder / "kept"

    def ask(self, service: str, path: str) -> Any:
        """Return a service's JSON answer, None while it has none."""
        try:
            url = self.urls[service] + path
            answer = httpx.get(url, timeout=30, trust_env=False, verify=PLAIN_HTTP)
        except httpx.HTTPError:
            return None
        return answer.json() if answer.status_code == 200 else None

    def totals(self, central: str) -> dict[str, int] | None:
        return sums_of(self.ask(central, "/api/v1/totals"))

    def worker(self) -> dict[str, Any]:
        """Return the collector's only worker as it tells itself."""
        status = self.ask("collector-1", "/api/v1/status")
        return {} if status is None else dict(status["workers"][0])

    def receiver(self, fact: str) -> int:
        return int(self.worker().get("receiver", {}).get(fact, 0))

    def wait_until_published(self, datagrams: int) -> None:
        """Return once the receiver has met so many in its life, and Kafka has all it wrote."""

        def met() -> bool:
            counted = ("datagrams", "overflow", "kernel_drops")
            return sum(map(self.receiver, counted)) >= datagrams

        # Never "nothing is unread": a quiet receiver marks the time once a second.
        wait_until(met, f"{datagrams} datagrams received or dropped", DEADLINE_S)
        number = self.receiver("number")
        wait_until(
            lambda: self.worker()["last_acknowledged"]["number"] >= number, "published", DEADLINE_S
        )

    def kill(self, role: str) -> int:
        """`kill -9` one process; returns its pid."""
        wait_until(lambda: bool(self.system.processes().get(role)), f"{role} lives", DEADLINE_S)
        pid = self.system.processes()[role][0]
        kill(pid)
        return pid

    @contextmanager
    def load(self, *, rate: int = 1_000, templates: str = "once") -> Iterator[Sent]:
        """Traffic while the block lasts, begun once both centrals count it; then expected."""
        sent = Sent()
        before = self.expected["flows"]
        with traffic(
            self.system, "--rate", str(rate), "--duration", "0", "--templates", templates
        ) as process:
            wait_until(
                lambda: all(
                    (totals := self.totals(central)) is not None and totals["flows"] > before
                    for central in CENTRALS
                ),
                "new flows in both centrals",
                DEADLINE_S,
            )
            yield sent
            process.send_signal(signal.SIGTERM)
            facts = json.loads(process.communicate(timeout=60)[0])
        sent.datagrams = facts["datagrams"]
        for name in SUMS:
            self.expected[name] += facts[name]

    def settle(self) -> None:
        """Wait until both centrals count what is expected, no less and no more."""

        def equal() -> bool:
            found = [self.totals(central) for central in CENTRALS]
            over = [
                totals for totals in found if totals and totals["flows"] > self.expected["flows"]
            ]
            assert not over, f"more than was sent: {over}, expected {self.expected}"
            return all(totals == self.expected for totals in found)

        try:
            wait_until(equal, "both centrals count what was sent", DEADLINE_S)
        except AssertionError as error:
            found = {central: self.totals(central) for central in CENTRALS}
            raise AssertionError(f"{error}: {found}, expected {self.expected}") from error

    def keep_segments(self) -> None:
        self.kept.mkdir(exist_ok=True)
        for segment in self.spool.glob("*.seg"):
            shutil.copyfile(segment, self.kept / segment.name)


@pytest.fixture(scope="module")
def trouble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trouble]:
    folder = tmp_path_factory.mktemp("trouble")
    home = folder / "home"
    with (
        small_disk(home / "collector-1" / "spool" / "0", size_mib=64) as spool,
        small_disk(home / "central-b", size_mib=512) as store,
        running(home) as system,
    ):
        yield Trouble(system, folder, spool and store)


def test_a_full_disk_under_the_spool_costs_named_datagrams_only(trouble: Trouble) -> None:
    need_small_disks(trouble)
    trouble.keep_segments()
    records = datagrams_in(trouble.kept)
    before = lost_datagrams(trouble, "central-a")
    expected = dict(trouble.expected)
    wait_until(lambda: "datagrams" in trouble.worker()["receiver"], "a receiver", DEADLINE_S)
    met = trouble.receiver("datagrams")
    with trouble.load() as sent:

        def dropping() -> bool:
            # Whatever the decoder gives back for its journal is taken again.
            fill(trouble.spool)
            status = trouble.ask("collector-1", "/api/v1/status")
            return trouble.receiver("overflow") > 200 and "no room" in str(status["reasons"])

        with filled(trouble.spool):
            wait_until(dropping, "datagrams are dropped and counted", DEADLINE_S)
        received = trouble.receiver("datagrams")
        wait_until(lambda: trouble.receiver("datagrams") > received, "datagrams again", DEADLINE_S)
        wait_until(
            lambda: all(lost_datagrams(trouble, c) > before for c in CENTRALS), "losses", DEADLINE_S
        )
    trouble.wait_until_published(met + sent.datagrams)

    trouble.keep_segments()
    rows = spool_rows(trouble.kept, WORKER)
    trouble.expected = {
        "flows": len(rows),
        "bytes": pc.sum(rows["bytes"]).as_py(),
        "packets": pc.sum(rows["packets"]).as_py(),
    }
    assert trouble.expected["flows"] > expected["flows"]
    trouble.settle()
    for central in CENTRALS:
        lost = lost_datagrams(trouble, central) - before
        assert datagrams_in(trouble.kept) - records + lost == sent.datagrams
        assert lost > 200


def test_a_full_disk_under_a_store_is_waited_out(trouble: Trouble) -> None:
    need_small_disks(trouble)
    disk = trouble.system.home / "central-b"
    with trouble.load(), filled(disk):
        wait_until(lambda: not_ready(trouble, "central-b"), "central-b says so", DEADLINE_S)
        stuck = trouble.totals("central-b") or {"flows": trouble.expected["flows"]}
        wait_until(
            lambda: (trouble.totals("central-a") or stuck)["flows"] > stuck["flows"] + 2_000,
            "the other central counts on",
            DEADLINE_S,
        )
    trouble.settle()


def test_a_broker_frozen_for_long_costs_nothing(trouble: Trouble) -> None:
    with trouble.load():
        broker = trouble.system.processes()["broker"][0]
        thaw_at_s = time.monotonic() + FROZEN_S
        with frozen([broker]):
            wait_until(lambda: trouble.worker()["unread_datagrams"] > 100, "the spool grows")
            while time.monotonic() < thaw_at_s:
                # Reports do not need Kafka.
                assert all(trouble.totals(central) is not None for central in CENTRALS)
                time.sleep(1)
            assert live_states(trouble) == {"away"}
        assert trouble.system.processes()["broker"] == [broker]
        wait_until(lambda: live_states(trouble) == {"live"}, "live rates go on", DEADLINE_S)
    trouble.settle()


def test_a_broker_killed_and_back_costs_nothing(trouble: Trouble) -> None:
    with trouble.load():
        for _ in range(2):
            killed = trouble.kill("broker")
            wait_until(
                lambda killed=killed: trouble.system.processes()["broker"] not in ([], [killed]),  # type: ignore[misc]  # a lambda's default has no type
                "the broker is started again",
                DEADLINE_S,
            )
    trouble.settle()


def test_templates_sent_once_outlive_killed_decoders(trouble: Trouble) -> None:
    with trouble.load(templates="once"):
        for _ in range(3):
            killed = trouble.kill("decoder")
            wait_until(
                lambda killed=killed: trouble.worker().get("decoder_pid") not in (None, killed),  # type: ignore[misc]  # a lambda's default has no type
                "the decoder is started again",
                DEADLINE_S,
            )
    trouble.settle()


def test_a_log_that_was_deleted_under_load_is_filled_again(trouble: Trouble) -> None:
    servers = trouble.system.status()["broker"]["bootstrap_servers"]
    with trouble.load():
        first_id = loops.run(topic_id(servers))
        loops.run(delete_and_make_again(servers, first_id))
        wait_until(
            lambda: trouble.worker().get("decoder", {}).get("topic_id") not in (None, first_id),
            "the decoder publishes to the new log",
            DEADLINE_S,
        )
    trouble.settle()
    for central in CENTRALS:
        ids = {row["topic_id"] for row in trouble.ask(central, "/api/v1/positions")["rows"]}
        assert ids == {loops.run(topic_id(servers))}
        assert "log_gap" not in str(trouble.ask(central, "/api/v1/losses"))


def test_totals_never_fall_while_minutes_close(trouble: Trouble) -> None:
    finished = threading.Event()
    ended = ended_streams(trouble)

    def watch(central: str) -> list[int]:
        seen = []
        # Often enough to see a step down, and leaves the machine to those that count.
        while not finished.wait(0.02):
            totals = trouble.totals(central)
            # A machine short of time may refuse a report; it may not answer a wrong one.
            if totals is not None:
                seen.append(totals["flows"])
        return seen

    with ThreadPoolExecutor(len(CENTRALS)) as pool:
        with trouble.load():
            watching = [pool.submit(watch, central) for central in CENTRALS]
            try:
                # The end mark of a killed receiver's stream closes its minute and hour at once.
                for number in range(1, 5):
                    trouble.kill("receiver")
                    wait_until(
                        lambda number=number: ended_streams(trouble) >= ended + number,  # type: ignore[misc]  # a lambda's default has no type
                        "the stream ends in both",
                        DEADLINE_S,
                    )
            finally:
                finished.set()
        for each in watching:
            seen = each.result(timeout=60)
            assert seen == sorted(seen)
            assert len(set(seen)) > 4
    trouble.settle()


def test_after_all_this_every_row_and_roll_up_is_right(trouble: Trouble) -> None:
    with trouble.load():
        pass
    before = datetime.now(UTC)
    trouble.kill("receiver")
    wait_until(lambda: no_open_streams(trouble, before), "old streams ended in both", DEADLINE_S)
    trouble.settle()
    trouble.system.down()
    trouble.keep_segments()
    rows = spool_rows(trouble.kept, WORKER)
    assert len(rows) == trouble.expected["flows"]
    digests = []
    for central in CENTRALS:
        out = trouble.folder / f"{central}.arrow"
        assert difference(rows, store_rows(trouble.system.home / central / "store", out)) == ""
        digests.append(markers(out))
    assert digests[0] == digests[1]
    assert len(digests[0]) >= 2


def live_states(trouble: Trouble) -> set[str]:
    """Return what the centrals say of their live rates."""
    answers = [trouble.ask(central, "/api/v1/live") for central in CENTRALS]
    return {"none" if answer is None else answer["state"] for answer in answers}


def need_small_disks(trouble: Trouble) -> None:
    if not trouble.small_disks:
        pytest.skip("no small disk to fill: only root may mount one")


def not_ready(trouble: Trouble, service: str) -> bool:
    try:
        url = trouble.urls[service] + "/health/ready"
        answer = httpx.get(url, timeout=30, trust_env=False, verify=PLAIN_HTTP)
        return answer.status_code == 503
    except httpx.HTTPError:
        return False


def lost_datagrams(trouble: Trouble, central: str) -> int:
    """Return the datagrams that a central says a receiver had no room for."""
    answer = trouble.ask(central, "/api/v1/losses")
    rows = [] if answer is None else answer["rows"]
    return sum(int(row["datagrams"]) for row in rows if row["reason"] == "receiver_overflow")


def datagrams_in(directory: Path) -> int:
    """Return how many datagrams a spool holds."""
    reader, position, found = SpoolReader(directory), SPOOL_START, 0
    while (chunk := reader.read(position)) is not None:
        found += sum(record.kind is RecordKind.DATAGRAM for record in chunk.records)
        position = chunk.next
        if chunk.at_tail:
            break
    reader.close()
    return found


def streams(trouble: Trouble, central: str) -> list[dict[str, Any]]:
    answer = trouble.ask(central, "/api/v1/streams")
    return [] if answer is None else list(answer["rows"])


def ended_streams(trouble: Trouble) -> int:
    """Return how many streams both centrals know to be over."""
    return min(sum(bool(row["ended"]) for row in streams(trouble, central)) for central in CENTRALS)


def no_open_streams(trouble: Trouble, before: datetime) -> bool:
    return all(
        row["ended"] or datetime.fromisoformat(row["started_at"]) > before
        for central in CENTRALS
        for row in streams(trouble, central)
    )


async def topic_id(servers: str) -> str:
    facts = await partition_facts(Brokers(servers), FLOWS.name)
    return facts[0].topic_id if facts else ""


async def delete_and_make_again(servers: str, first_id: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.delete_topics([FLOWS.name])
    finally:
        await admin.close()
    async with asyncio.timeout(DEADLINE_S):
        while await topic_id(servers) in ("", first_id):
            try:
                await ensure_topics(Brokers(servers), [FLOWS])
            except KafkaAway:
                await asyncio.sleep(0.1)

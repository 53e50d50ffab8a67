"""Two centrals on the real broker: proven equal, a changed row found, named and mended.

One process has one chDB folder open at a time, so the two run in turns; what each says of its
minutes stands on topic `digests`.
"""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from services.central.instants import format_instant
from services.central.proof import part
from services.central.proof.ledger import Ledger, Proven
from shared.digest_records import MINUTE, Period, encode_digest
from shared.flow_message import encode_headers
from shared.kafka import Brokers, Producer
from shared.topics import Topic
from tests.central.centrals import Place, Running, authorized, client_of
from tests.central.stream_messages import Datagram, Sent, Stream, cut
from tests.draws import some

pytestmark = pytest.mark.kafka

MINUTE_MS = 60_000
STREAM = 0xC0FFEE
EXPORTER = "0.0.0.1"


def a_live_stream(minutes: int = 4) -> Stream:
    """Return a stream of the last minutes that has ended, six datagrams of two rows in each."""
    now_ms = time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS
    datagrams = [
        Datagram(number, now_ms - (minutes - (number - 1) // 6) * MINUTE_MS + number, 2)
        for number in range(1, minutes * 6 + 1)
    ]
    datagrams.append(Datagram(len(datagrams) + 1, datagrams[-1].at_ms, 0))
    return Stream(id=STREAM, datagrams=tuple(datagrams), ends=True)


@pytest.fixture(autouse=True)
def scrubs_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else needs this machine first."""
    monkeypatch.setattr(part, "SCRUB_AFTER_S", 0.0)


@pytest.fixture
def places(broker: str, make_topic: Callable[..., Topic], tmp_path: Path) -> tuple[Place, Place]:
    settings = make_topic("settings", compacted=True, append_time=False, retention=None)
    first = Place(tmp_path / "a", broker, make_topic("flows"), settings)
    return first, replace(first, data_dir=tmp_path / "b", name="central-b")


@pytest.fixture
async def producer(broker: str) -> AsyncIterator[Producer]:
    opened = Producer(Brokers(broker), client_id="test")
    await opened.start()
    yield opened
    await opened.stop()


async def publish(producer: Producer, topic: Topic, sent: Sequence[Sent]) -> int:
    """Send the messages; the offset after the last."""
    offset = 0
    for each in sent:
        stored = await producer.send(
            topic.name,
            partition=0,
            key=each.range.worker.encode(),
            value=each.value,
            headers=encode_headers(each.range),
        )
        offset = stored.offset + 1
    return offset


async def says_all(central: Running, end: int) -> Ledger:
    """Wait until a central has read to `end` and said all it holds; return its ledger."""
    await central.reads_to(end)
    proof = central.central.proof
    await central.until(
        lambda: STREAM in proof.ledger.own_passed and proof.ledger.own_passed[STREAM].ended
    )
    return proof.ledger


async def change(central: Running, statement: str) -> None:
    """Change the store by hand, in the thread of the client that is used."""
    proof, client = central.central.proof, central.central.store._scrub
    await proof._in_thread(lambda: client.command(f"{statement} SETTINGS mutations_sync = 2"))


async def ask_for_repair(central: Running, **body: str) -> httpx.Response:
    return await central.client.post("/api/v1/proof/repair", json=body, headers=authorized())


def minute_of(stream: Stream, datagram: int) -> int:
    return stream.datagrams[datagram - 1].at_ms // MINUTE_MS * MINUTE_MS


CHANGES = {
    "raw": ("ALTER TABLE flows UPDATE bytes = bytes + 1 WHERE datagram = 8", ["raw"]),
    "deleted": ("ALTER TABLE flows DELETE WHERE datagram = 8", ["raw"]),
    "rolled up": (
        "ALTER TABLE rollups UPDATE packets = packets + 1 WHERE grouping = 1 AND level = 0 "
        "AND starts_at = toDateTime({minute_s}, 'UTC')",
        ["rollups"],
    ),
    "closed as nothing": (
        "ALTER TABLE rollups DELETE WHERE level = 0 AND starts_at = toDateTime({minute_s}, 'UTC')",
        ["rollups"],
    ),
}


@pytest.mark.parametrize("what", some(list(CHANGES), 2, "changes"))
async def test_a_changed_row_is_found_named_and_mended(
    places: tuple[Place, Place], producer: Producer, what: str
) -> None:
    first, second = places
    stream = a_live_stream()
    end = await publish(producer, first.flows, cut(stream, frozenset({3, 8})))
    async with first.run() as central:
        before = await says_all(central, end)
        assert len([each for each in before.own if each.level == MINUTE]) == 4
        assert before.proven() == []
    async with second.run() as central:
        ledger = await says_all(central, end)
        whole_ms = minute_of(stream, len(stream.datagrams)) + MINUTE_MS
        assert ledger.proven() == [Proven("central-a", whole_ms, 0)]
        assert (await ask_for_repair(central)).status_code == 409

        statement, parts = CHANGES[what]
        minute_ms = minute_of(stream, 8)
        await change(central, statement.replace("{minute_s}", str(minute_ms // 1000)))
        await central.until(lambda: ledger.differences() != [])
        (difference,) = (await central.get("proof"))["differences"]
        assert difference["exporters"] == ([] if what == "closed as nothing" else [EXPORTER])
        assert (difference["wrong"], difference["parts"]) == (["central-b"], parts)
        assert ledger.differences()[0].period == Period(STREAM, MINUTE, minute_ms)
        assert ledger.proven() == [Proven("central-a", minute_ms, 1)]
        await central.until(lambda: central.alarms("difference") == 1)
        assert format_instant(minute_ms) in central.central.health.notes["proof"]

        unasked = await central.client.post("/api/v1/proof/repair", json={})
        assert unasked.status_code == 401
        assert (await ask_for_repair(central)).status_code == 202
        await central.until(lambda: ledger.differences() == [])
        await central.until(lambda: not central.central.proof.repairs.periods)
        proof = await central.get("proof")
        assert proof["repairs"][0]["outcome"].split("; ")[-1] in (
            "12 rows written again from the log",
            "rolled up again",
        )
        assert ledger.proven() == [Proven("central-a", whole_ms, 0)]
        assert (await central.get("totals"))["flows"] == len(stream.rows)
        await central.until(lambda: "proof" not in central.central.health.notes)


async def test_a_repair_killed_midway_goes_on_with_the_next_start(
    places: tuple[Place, Place], producer: Producer
) -> None:
    place, _ = places
    stream = a_live_stream()
    end = await publish(producer, place.flows, cut(stream, frozenset({3, 8})))
    minute_ms = minute_of(stream, 8)

    def dies(step: str) -> None:
        if step == "repair insert":
            raise RuntimeError("killed")

    async with place.run(before_step=dies) as central:
        ledger = await says_all(central, end)
        await change(central, CHANGES["raw"][0])
        await central.until(lambda: ledger.differences() != [])
        asked = {"stream": f"{STREAM:016x}", "minute": format_instant(minute_ms + 7)}
        noted = await ask_for_repair(central, **asked)
        assert [row["starts_at"] for row in noted.json()["rows"]] == [format_instant(minute_ms)]
        with pytest.raises(ExceptionGroup, match="unhandled errors"):
            await central.until(lambda: not central.central.proof.repairs.periods)

    def waits(step: str) -> None:
        assert step != "repair read", "the log is not read before the report is asked"

    with place.opened(before_step=waits) as central_at_rest:
        async with client_of(central_at_rest) as client:
            whole = {"from": format_instant(minute_ms), "to": format_instant(minute_ms + MINUTE_MS)}
            totals = (await client.get("/api/v1/totals", params=whole)).json()
            assert "under repair" in totals["notes"][0]
            (named,) = (await client.get("/api/v1/proof")).json()["under_repair"]
            assert named["starts_at"] == format_instant(minute_ms)

    async with place.run() as central:
        ledger = await says_all(central, end)
        await central.until(lambda: not central.central.proof.repairs.periods)
        await central.until(lambda: ledger.differences() == [])
        assert (await central.get("totals"))["flows"] == len(stream.rows)
        assert ledger.own[Period(STREAM, MINUTE, minute_ms)].repair == 2


async def test_what_changed_while_nobody_looked_is_not_published_as_right(
    places: tuple[Place, Place], producer: Producer
) -> None:
    place, _ = places
    stream = a_live_stream()
    end = await publish(producer, place.flows, cut(stream))
    async with place.run() as central:
        before = dict((await says_all(central, end)).own)
    with place.opened() as at_rest:
        at_rest.store._work.command(CHANGES["raw"][0], {}, {"mutations_sync": 2})
    async with place.run() as central:
        ledger = await says_all(central, end)
        await central.until(lambda: ledger.differences() != [])
        (difference,) = ledger.differences()
        assert difference.wrong == ("central-a",)
        assert ledger.own[difference.period].raw == before[difference.period].raw


@pytest.mark.parametrize("is_late", [False, True], ids=["", "it spoke before it read that"])
async def test_who_left_is_compared_no_more_and_tells_all_anew_when_it_comes_back(
    places: tuple[Place, Place], producer: Producer, is_late: bool
) -> None:
    first, second = places
    stream = a_live_stream()
    end = await publish(producer, first.flows, cut(stream))
    whole_ms = minute_of(stream, len(stream.datagrams)) + MINUTE_MS
    async with first.run() as central:
        told = (await says_all(central, end)).own_passed[STREAM]
    async with second.run() as central:
        ledger = await says_all(central, end)
        assert ledger.proven() == [Proven("central-a", whole_ms, 0)]
        await central.central.proof.drop("central-a")
        await central.until(lambda: ledger.others == [])
    if is_late:
        key, value = encode_digest(told)
        await producer.send(first.digests.name, partition=0, key=key, value=value)
    # What it reads of the topic ends with that it left.
    async with first.run() as central:
        proof = central.central.proof
        await says_all(central, end)
        await central.until(lambda: proof.ledger.proven() == [Proven("central-b", whole_ms, 0)])
        assert (await central.get("proof"))["copy"]["differences"] == 0
    async with second.run() as central:
        proof = central.central.proof
        await says_all(central, end)
        await central.until(lambda: proof.ledger.proven() == [Proven("central-a", whole_ms, 0)])

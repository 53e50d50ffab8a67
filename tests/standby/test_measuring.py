"""What is measured before a join, of small real things."""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path

import pytest

from services.standby import measuring
from services.standby.measuring import (
    answering,
    fastest_elsewhere,
    flows_kept_s,
    host_ports,
    inserts_per_s,
    kafka_round_trip_ms,
    reach,
)
from shared.kafka import Brokers, KafkaAway, Membership, MembershipRefused
from shared.kafka.round_trip import REQUESTS, fastest_ms
from shared.membership import Copies, Disk
from shared.topics import FLOWS

GB = 10**9
HOUR_MS = 3_600_000
NOW_MS = 1_700_000_000_000


async def test_a_port_that_answers_is_reached_and_a_closed_one_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        reached = await reach("127.0.0.1", port)
        assert reached.round_trip_ms is not None
        assert (reached.round_trip_ms > 0, reached.problem) == (True, "")
    closed = await reach("127.0.0.1", port)

    assert closed.round_trip_ms is None
    assert closed.problem.startswith(f"127.0.0.1:{port}: ")


async def test_an_unknown_name_is_said_with_the_name() -> None:
    unknown = await reach("no-such-host.invalid", 443)

    assert unknown.round_trip_ms is None
    assert unknown.problem.startswith("the name no-such-host.invalid is not known here: ")


async def test_what_does_not_answer_is_given_up_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def for_ever(host: str, port: int) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("services.standby.measuring.CONNECT_TIMEOUT_S", 0.01)
    monkeypatch.setattr(asyncio, "open_connection", for_ever)

    assert (await reach("far", 9)).problem == "far:9 does not answer within 0.01 s"


def test_brokers_are_read_with_their_ports() -> None:
    assert host_ports("a:9092, b.example:19092,[::1]:9093") == [
        ("a", 9092), ("b.example", 19092), ("::1", 9093),
    ]  # fmt: skip


async def test_a_port_answers_for_as_long_as_it_is_asked_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        # One that is taken answers by itself.
        with answering([port]):
            assert not (await reach("127.0.0.1", port)).problem
    with answering([port]):
        assert not (await reach("127.0.0.1", port)).problem
    assert (await reach("127.0.0.1", port)).problem


class SlowKafka:
    """Takes so long for one request after the other, by a clock of its own; None: no answer."""

    def __init__(self, *takes_s: float | None) -> None:
        self.takes_s = iter(takes_s)
        self.at_s = 100.0

    async def ask(self) -> None:
        took_s = next(self.takes_s)
        if took_s is None:
            raise TimeoutError
        self.at_s += took_s

    def now_s(self) -> float:
        return self.at_s


async def test_a_round_trip_is_that_of_the_fastest_request_once_it_is_connected() -> None:
    slow = SlowKafka(0.001, 1.5, 1.25, 2.0)
    assert await fastest_ms(slow.ask, slow.now_s) == 1250
    # Connecting does not count, however often, and neither does what another process held up.
    again = SlowKafka(None, 5.0, 0.5, 0.25, 3.0)
    assert await fastest_ms(again.ask, again.now_s) == 250
    fast = SlowKafka(5.0, 0.5, 0.25, 3.0)
    assert await fastest_ms(fast.ask, fast.now_s) == 250
    for number in range(1 + REQUESTS):
        silent = SlowKafka(*[0.25] * number, None)
        assert await fastest_ms(silent.ask, silent.now_s, patience_s=0) is None


def test_the_broker_of_this_machine_says_nothing_of_the_link() -> None:
    found = {("c.example", 1): 0.25, ("a.example", 1): 900.0, ("b.example", 1): 300.0}
    assert fastest_elsewhere(found, ("c.example", "localhost")) == 300
    assert fastest_elsewhere(found, ()) == 0.25
    assert fastest_elsewhere({("localhost", 1): 2.0}, ("localhost",)) == 2
    assert fastest_elsewhere({}, ()) is None


async def test_a_kafka_that_answers_nobody_has_no_round_trip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def away(brokers: Brokers) -> dict[tuple[str, int], float]:
        raise KafkaAway("nobody")

    monkeypatch.setattr(measuring, "round_trips_ms", away)
    assert await kafka_round_trip_ms(Brokers("unused:1"), ()) is None


async def test_the_speed_of_a_store_is_measured_and_nothing_of_it_stays(tmp_path: Path) -> None:
    speed = await inserts_per_s(tmp_path / "tmp")

    assert speed is not None
    assert speed > 0
    assert not list((tmp_path / "tmp").iterdir())


async def test_where_nothing_can_be_inserted_no_speed_is_found(tmp_path: Path) -> None:
    (tmp_path / "tmp").write_text("a file, no folder")

    assert await inserts_per_s(tmp_path / "tmp") is None


class SomeKafka(Membership):
    """Two partitions of `flows` with a leader each, and a third one without."""

    def __init__(
        self, *, hours: float = 72, limit_bytes: int = -1, sizes: Sequence[int] = ()
    ) -> None:
        self.settings = {
            "retention.ms": str(int(hours * HOUR_MS)), "retention.bytes": str(limit_bytes)
        }  # fmt: skip
        self.sizes = sizes
        self.refusal: Exception | None = None

    async def topic_settings(
        self, topics: Sequence[str], names: Sequence[str]
    ) -> dict[str, dict[str, str]]:
        return {topic: {name: self.settings[name] for name in names} for topic in topics}

    async def copies(self) -> list[Copies]:
        led = [Copies(FLOWS.name, number, number + 1, (1, 2), (1, 2)) for number in range(2)]
        return [*led, Copies(FLOWS.name, 2, -1, (3,), ()), Copies("rates", 0, 1, (1,), (1,))]

    async def disk(self, number: int) -> Disk:
        if self.refusal is not None:
            raise self.refusal
        # The other's is a copy that is behind.
        sizes = {(FLOWS.name, each): 1 for each in range(3)}
        return Disk(-1, -1, {**sizes, (FLOWS.name, number - 1): self.sizes[number - 1]})


def began(*hours: float) -> Callable[[], Coroutine[None, None, dict[int, int]]]:
    async def oldest() -> dict[int, int]:
        return {number: NOW_MS - int(each * HOUR_MS) for number, each in enumerate(hours)}

    return oldest


async def test_how_long_kafka_keeps_flows_is_what_it_does_now() -> None:
    full = SomeKafka(limit_bytes=10 * GB, sizes=[10 * GB, 5 * GB])

    assert await flows_kept_s(full, began(6, 4, 0), NOW_MS) == 6 * 3600
    assert await flows_kept_s(full, began(6, 2, 0), NOW_MS) == 4 * 3600
    # An empty one says nothing.
    assert await flows_kept_s(full, began(6), NOW_MS) == 6 * 3600
    assert await flows_kept_s(SomeKafka(hours=5), began(6, 4), NOW_MS) == 5 * 3600


@pytest.mark.parametrize("refusal", [KafkaAway("old"), MembershipRefused("not you")])
async def test_a_kafka_that_tells_nothing_of_its_disks_says_its_age(refusal: Exception) -> None:
    closed = SomeKafka(limit_bytes=10 * GB, sizes=[10 * GB, 5 * GB])
    closed.refusal = refusal

    assert await flows_kept_s(closed, began(6, 4), NOW_MS) == 72 * 3600

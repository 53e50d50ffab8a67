"""What is measured before a join: clocks, round trips, what can be reached, how fast a store is."""

import asyncio
import contextlib
import json
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from services.standby.copy_time import Held, kept_s
from shared.kafka import (
    Brokers,
    KafkaAway,
    Membership,
    MembershipRefused,
    PositionLost,
    Reader,
    first_partition_facts,
    oldest_ms,
    open_membership,
    round_trips_ms,
)
from shared.membership import BYTES_KEPT
from shared.topics import FLOWS, HA_LOG

CONNECT_TIMEOUT_S = 5.0
TRIES = 3
TICK_TIMEOUT_S = 15.0
MEASURE_TIMEOUT_S = 120.0
RETENTION = "retention.ms"


class Reached(NamedTuple):
    """round_trip_ms: of the fastest connection, None without one. problem: empty without one."""

    round_trip_ms: float | None
    problem: str


async def reach(host: str, port: int) -> Reached:
    """Connect a few times: a TCP connection is one round trip."""
    fastest_ms: float | None = None
    for _ in range(TRIES):
        started_s = time.monotonic()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, writer = await asyncio.open_connection(host, port)
        except TimeoutError:
            return Reached(None, f"{host}:{port} does not answer within {CONNECT_TIMEOUT_S:g} s")
        except socket.gaierror as error:
            return Reached(None, f"the name {host} is not known here: {error.strerror}")
        except OSError as error:
            return Reached(None, f"{host}:{port}: {error.strerror or error}")
        spent_ms = (time.monotonic() - started_s) * 1000
        fastest_ms = spent_ms if fastest_ms is None else min(fastest_ms, spent_ms)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return Reached(fastest_ms, "")


def host_ports(servers: str) -> list[tuple[str, int]]:
    """Return the addresses in a list of brokers."""
    found = []
    for server in servers.split(","):
        host, _, port = server.strip().rpartition(":")
        found.append((host.strip("[]"), int(port)))
    return found


async def kafka_offset_ms(brokers: Brokers) -> float | None:
    """Return our clock against Kafka's append time, from the next tick of `ha.log`.

    None when none is read: nobody ticks, or Kafka does not answer.
    """
    reader = Reader(brokers, client_id="preflight", topic=HA_LOG.name)
    try:
        async with asyncio.timeout(TICK_TIMEOUT_S):
            facts = await first_partition_facts(brokers, HA_LOG.name)
            await reader.start({0: facts.end_offset})
            while True:
                records = await reader.fetch(timeout_ms=1_000, records_max=10)
                if records:
                    return time.time_ns() / 1e6 - records[-1].timestamp_ms
    except (KafkaAway, PositionLost, TimeoutError):
        return None
    finally:
        await reader.stop()


async def kafka_round_trip_ms(brokers: Brokers, own_hosts: Collection[str]) -> float | None:
    """Return how long Kafka takes for one request; None when it does not answer."""
    try:
        return fastest_elsewhere(await round_trips_ms(brokers), own_hosts)
    except KafkaAway:
        return None


def fastest_elsewhere(
    found_ms: Mapping[tuple[str, int], float], own_hosts: Collection[str]
) -> float | None:
    """Return the least of the brokers on other machines; without any, of those here."""
    # The broker of a machine that joined is among them, and no link leads to it.
    elsewhere = [spent_ms for (host, _), spent_ms in found_ms.items() if host not in own_hosts]
    return min(elsewhere or found_ms.values(), default=None)


async def kafka_keeps_s(brokers: Brokers, now_ms: int) -> float | None:
    """Return how long Kafka keeps flows, `inf` for ever; None when it does not say.

    now_ms: UTC.
    """
    try:
        async with open_membership(brokers) as membership:
            return await flows_kept_s(membership, lambda: oldest_ms(brokers, FLOWS.name), now_ms)
    except (KafkaAway, MembershipRefused):
        return None


async def flows_kept_s(
    membership: Membership, oldest: Callable[[], Awaitable[Mapping[int, int]]], now_ms: int
) -> float:
    """Return how long Kafka keeps flows. oldest: when the first record of each partition came.

    That and now_ms: UTC, ms. Raises KafkaAway, MembershipRefused.
    """
    settings = (await membership.topic_settings([FLOWS.name], [RETENTION, BYTES_KEPT]))[FLOWS.name]
    kept_ms, kept_bytes = int(settings[RETENTION]), int(settings[BYTES_KEPT])
    if kept_bytes < 0:
        return kept_s(kept_ms, kept_bytes)
    try:
        return kept_s(kept_ms, kept_bytes, await _held(membership, await oldest(), now_ms))
    except (KafkaAway, MembershipRefused):
        # A Kafka of the user's own may not tell of its disks.
        return kept_s(kept_ms, kept_bytes)


async def _held(membership: Membership, oldest: Mapping[int, int], now_ms: int) -> list[Held]:
    leaders = {
        each.partition: each.leader
        for each in await membership.copies()
        if each.topic == FLOWS.name and each.leader >= 0
    }
    disks = {leader: await membership.disk(leader) for leader in {*leaders.values()}}
    return [
        Held(
            disks[leaders[partition]].sizes.get((FLOWS.name, partition), 0),
            max(0, now_ms - first_ms) / 1000,
        )
        for partition, first_ms in oldest.items()
        if partition in leaders
    ]


async def inserts_per_s(folder: Path) -> float | None:
    """Measure a store in `folder`, in a process of its own; None when it cannot be done."""
    try:
        return float(
            json.loads(await _printed("services.central.measure", folder))["inserts_per_s"]
        )
    except (TimeoutError, ValueError, KeyError, TypeError):
        return None


async def kept_days() -> tuple[int, ...] | None:
    """Return for how many days a central here would keep raw rows, minutes and hours.

    As its own environment says; None when it does not start with that.
    """
    try:
        found = yaml.safe_load(await _printed("services.central", "--dump"))
        return tuple(int(found[f"{level}_days"]) for level in ("raw", "minute", "hour"))
    except (TimeoutError, yaml.YAMLError, ValueError, KeyError, TypeError):
        return None


async def _printed(module: str, *arguments: str | Path) -> bytes:
    """Run a module to its end. Raises TimeoutError."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", module, *map(str, arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(MEASURE_TIMEOUT_S):
            output, _ = await process.communicate()
        return output
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@contextlib.contextmanager
def answering(ports: Sequence[int]) -> Iterator[None]:
    """Accept connections on `ports` for a while, where nothing else does yet."""
    with contextlib.ExitStack() as stack:
        for port in ports:
            # Taken: then it answers by itself.
            with contextlib.suppress(OSError):
                stack.enter_context(socket.create_server(("", port)))
        yield

"""The checks of this machine against the central that acts."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from services.standby import measuring
from services.standby.back import judged
from services.standby.centrals import Centrals
from services.standby.config import StandbyConfig
from services.standby.copy_time import line_of
from services.standby.given import Given
from services.standby.joining import Checked
from services.standby.kafka_here import KafkaHere
from services.standby.preflight import Measured, certificate_line, preflight
from services.standby.primary_client import PrimaryAway
from shared.own_address import is_here
from shared.this_machine import this_machine
from shared.tls import TlsFiles
from shared.tls.renewal import ends_at, is_due


async def check(
    config: StandbyConfig, centrals: Centrals, kafka: KafkaHere, now_ms: Callable[[], int]
) -> Checked:
    """Measure and judge. Raises PrimaryAway, TlsError, NotGiven."""
    here = await asyncio.to_thread(this_machine, config.data_dir, now_ms=now_ms())
    acting = await centrals.acting()
    brokers = kafka.brokers()
    client = centrals.blocking_client(acting.url)
    try:
        said = await asyncio.to_thread(client.node)
        places = [acting.host_port, *await kafka.addresses(brokers)]
        reached = [await measuring.reach(host, port) for host, port in places]
        # Where Kafka is the user's own none of it runs here.
        broker_ports = config.broker_ports if Given.read(config.home).has_broker else []
        ports = [config.https_port, *broker_ports]
        with measuring.answering(ports):
            back = await asyncio.to_thread(client.sees, ports, config.host)
    finally:
        client.close()
    await kafka.look(brokers, now_ms())
    seen = judged(back, config.host, is_here)
    measured = Measured(
        clock_offset_ms=said.clock_offset_ms,
        kafka_offset_ms=await measuring.kafka_offset_ms(brokers),
        round_trip_ms=await measuring.kafka_round_trip_ms(brokers, config.all_hosts),
        inserts_per_s=await measuring.inserts_per_s(config.data_dir / "tmp"),
        unreachable=[each.problem for each in reached if each.problem],
        unreachable_back=seen.unreachable,
        untried_back=seen.untried,
        kept_days=await _kept_days(centrals, config),
    )
    copy_line = line_of(said.primary.store_bytes, config.copy_bytes_per_s, kafka_s=kafka.keeps_s)
    files = TlsFiles.in_directory(config.home / "tls")
    now = datetime.fromtimestamp(now_ms() / 1000, UTC)
    own = certificate_line(ends_at(files), now, is_due=is_due(files, now))
    return Checked((*preflight(here, said.primary, measured), copy_line, own), now_ms())


async def _kept_days(centrals: Centrals, config: StandbyConfig) -> tuple[int, ...] | None:
    """Return what a central here keeps; before one runs, what this environment says."""
    client = centrals.blocking_client(config.central_url)
    try:
        return (await asyncio.to_thread(client.node)).primary.kept_days
    except PrimaryAway:
        return await measuring.kept_days()
    finally:
        client.close()

"""How long a real broker takes for a request, behind a proxy that accepts at once."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from services.standby.measuring import kafka_round_trip_ms, reach
from services.standby.preflight import Light, preflight
from shared.kafka import Brokers
from tests.faults.proxy import HOST
from tests.faults.stand import Stand, stand
from tests.standby.test_preflight import HERE, MEASURED, PRIMARY

pytestmark = [pytest.mark.kafka, pytest.mark.faults]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with stand(tmp_path_factory.mktemp("round-trip")) as made:
        yield made


def light_of(round_trip_ms: float | None) -> Light:
    lines = preflight(HERE, PRIMARY, replace(MEASURED, round_trip_ms=round_trip_ms))
    (found,) = [line.light for line in lines if line.check == "Kafka's round trip"]
    return found


@pytest.mark.parametrize(
    ("each_way_s", "lights"),
    [
        # A busy machine may take any time, never less than the proxy.
        (0.1, {Light.AMBER, Light.RED}),
        (0.6, {Light.RED}),
    ],
)
async def test_a_slow_broker_is_no_green_one_though_it_accepts_at_once(
    site: Stand, each_way_s: float, lights: set[Light]
) -> None:
    brokers = Brokers(site.through_proxy)
    at_once_ms = await kafka_round_trip_ms(brokers, ())
    site.proxy.delay(each_way_s)
    try:
        slow_ms = await kafka_round_trip_ms(brokers, ())
        connected = await reach(HOST, site.proxy.port)
    finally:
        site.proxy.delay(0)

    assert at_once_ms is not None
    assert connected.round_trip_ms is not None
    assert slow_ms is not None
    assert slow_ms >= 2_000 * each_way_s
    assert light_of(slow_ms) in lights
    # Negative controls: the same broker undelayed, and what a connection alone would say.
    assert max(at_once_ms, connected.round_trip_ms) < slow_ms

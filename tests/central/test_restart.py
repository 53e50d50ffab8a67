"""A central started again while Kafka is away: it answers what it had counted."""

from pathlib import Path

from shared.topics import FLOWS, SETTINGS
from tests.central.centrals import Place, client_of
from tests.central.stream_messages import cut, facts_of, log_of
from tests.central.test_api import a_stream


async def test_totals_are_whole_before_kafka_is_there(tmp_path: Path) -> None:
    # Nothing listens on port 1.
    place = Place(tmp_path / "central", "127.0.0.1:1", FLOWS, SETTINGS)
    log = log_of(cut(a_stream()))
    with place.opened() as central:
        central.applier.start(facts_of(log))
        central.applier.apply(log)
    with place.opened() as central:
        async with client_of(central) as client:
            answer = (await client.get("/api/v1/totals")).json()
    assert answer["flows"] == 12
    assert answer["open_streams"]

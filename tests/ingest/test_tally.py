"""What a decoder counts: by exporter, and bounded however many addresses are forged."""

from services.ingest.decode.decoding import Decoded
from services.ingest.decode.seen import Seen
from services.ingest.publish.encode import Message
from services.ingest.publish.tally import ELEMENTS_MAX, Tally
from services.ingest.spool.reader import SpoolPosition
from shared.addresses import pack_address
from shared.flow_message import FlowRange
from shared.kafka import Sent
from shared.losses import Loss, LossReason


def message(exporter: str, *, elements: int = 0) -> Message:
    address = pack_address(exporter)
    seen = Seen(address, datagrams=1, flows=2, ignored={(0, n): 1 for n in range(elements)})
    flow_range = FlowRange(
        stream=7, worker="c/0", first=1, last=1, rows=2, earliest_ms=1, latest_ms=1,
        started_at_ms=1, partitions=4, losses=(Loss(address, LossReason.TRUNCATED, 1),),
    )  # fmt: skip
    return Message(
        flow_range=flow_range, value=b"", rates=b"", rates_rows=0, after=SpoolPosition(1, 600),
        latest_ms=1, decoded=Decoded(2, None, (), None, (seen,)),
    )  # fmt: skip


def test_exporters_beyond_the_bound_are_counted_together() -> None:
    tally = Tally(exporters_max=2)
    for number in (1, 2, 3, 4, 1):
        tally.count(message(f"192.0.2.{number}"), Sent(0, 0, 0))

    flows = {key[1]: n for key, n in tally.values.items() if key[0] == "decoded_flows"}
    assert flows == {"192.0.2.1": 4, "192.0.2.2": 2, "other": 4}
    assert tally.values["lost_datagrams", "other", "truncated"] == 2


def test_each_exporter_shows_when_it_was_heard_last() -> None:
    tally = Tally()
    tally.count(message("192.0.2.1"), Sent(0, 0, 0))

    assert tally.values["exporter_newest_timestamp_seconds", "192.0.2.1"] == 0.001


def test_ignored_elements_beyond_the_bound_are_counted_together() -> None:
    tally = Tally()
    tally.count(message("192.0.2.1", elements=ELEMENTS_MAX + 5), Sent(0, 0, 0))
    tally.count(message("192.0.2.2", elements=2), Sent(0, 0, 0))

    ignored = {key: n for key, n in tally.values.items() if key[0] == "ignored_elements"}
    assert len(ignored) == ELEMENTS_MAX + 1
    assert sum(ignored.values()) == ELEMENTS_MAX + 7
    assert ignored["ignored_elements", "other", "other", "other"] == 7

"""What the benchmark sends is what it says: a figure per flow needs the right number of flows."""

import pytest

from bench.packets import EXPORTERS, LOADS, Load, Packet, make_packets
from services.ingest.decode.decoding import DecoderState, RangeBuilder

NOW_MS = 1_790_000_000_000


def decoded_rows(packets: list[Packet]) -> int:
    builder = RangeBuilder(DecoderState(), collector="bench/0", stream=1)
    for number, packet in enumerate(packets, 1):
        builder.add(number, NOW_MS, bytes(15) + bytes([packet.exporter]), 2055, packet.payload)
    decoded = builder.finish()
    assert not decoded.losses
    return decoded.rows


@pytest.mark.parametrize("load", LOADS, ids=lambda load: str(load.name))
def test_every_flow_is_there_and_decodes(load: Load) -> None:
    packets = make_packets(load, 5_000, now_ms=NOW_MS)

    flows = sum(packet.flows for packet in packets)
    assert flows == decoded_rows(packets)
    assert abs(flows - 5_000) <= EXPORTERS * load.per_datagram
    assert {packet.flows for packet in packets} <= {0, load.per_datagram}
    assert {packet.exporter for packet in packets} == set(range(EXPORTERS))
    assert max(len(packet.payload) for packet in packets) <= 1_472  # an Ethernet frame


def test_the_same_seed_gives_the_same_datagrams() -> None:
    one, again = (make_packets(LOADS[1], 1_000, now_ms=NOW_MS) for _ in range(2))

    assert one == again != make_packets(LOADS[1], 1_000, now_ms=NOW_MS, seed=2)

"""Real captures as one load: the NetFlow and IPFIX packets that other projects published."""

from pathlib import Path

from bench.packets import Packet
from shared.pcap import Capture

NAME = "captures"
FIRST_EXPORTER = 100
"""Beyond those of the other loads, whose templates would decode what has none here."""
_VERSIONS = (5, 9, 10)


def read_captures(folder: Path) -> list[Packet]:
    """Return the datagrams of every scenario, each scenario from an exporter of its own.

    Scenarios use the same template numbers for other records, so they must not share an address.
    Empty without the folder. How many flows are inside nobody says: 0.
    """
    packets = []
    for number, path in enumerate(sorted(folder.glob("scenarios/*.pcap"))):
        with path.open("rb") as file:
            packets += [
                Packet(FIRST_EXPORTER + number, 0, bytes(datagram.payload))
                for datagram in Capture(file)
                if int.from_bytes(datagram.payload[:2], "big") in _VERSIONS
            ]
    return packets

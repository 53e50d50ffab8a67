"""Which information element fills which column: the one table, also printed into the docs.

Order matters: of several elements for one column the earlier one wins.
"""

from dataclasses import dataclass
from enum import StrEnum

REVERSE_ENTERPRISE = 29305
"""RFC 5103 section 6.1: an IANA element under this number speaks of the reverse direction."""
PADDING = 210
SYSTEM_INIT = 160


class Reading(StrEnum):
    """How the bytes of a field become a value."""

    UNSIGNED = "unsigned, 1 to 8 bytes"
    IPV4 = "4 bytes"
    IPV6 = "16 bytes"
    ICMP_TYPE_CODE = "type * 256 + code"
    MPLS_LABEL = "upper 20 bits"
    UPTIME = "ms of the exporter's uptime"
    SECONDS = "s since 1970"
    MILLISECONDS = "ms since 1970"
    NTP = "NTP: s since 1900, then 2**-32 s"
    BEFORE_EXPORT = "µs before the export time"
    DURATION_MS = "ms from start to end"
    DURATION_US = "µs from start to end"


TIMES = frozenset(
    {
        Reading.UPTIME,
        Reading.SECONDS,
        Reading.MILLISECONDS,
        Reading.NTP,
        Reading.BEFORE_EXPORT,
        Reading.DURATION_MS,
        Reading.DURATION_US,
    }
)


@dataclass(frozen=True, slots=True)
class Element:
    """One information element of IANA's registry (or a vendor's v9 number) that fills `column`.

    column `system_init` is none: it is what UPTIME counts from when a record carries it.
    reverse: it speaks of the reverse direction of a record with both.
    """

    number: int
    name: str
    column: str
    reading: Reading
    source: str
    reverse: bool = False


_RFC = "RFC 7012"
_CISCO = "RFC 3954 section 8"
_NSEL = "Cisco NSEL"
_PSAMP = "RFC 5477"
_NAT = "RFC 8158"
_U, _4, _6 = Reading.UNSIGNED, Reading.IPV4, Reading.IPV6

ELEMENTS: tuple[Element, ...] = (
    Element(8, "sourceIPv4Address", "src_addr", _4, _RFC),
    Element(27, "sourceIPv6Address", "src_addr", _6, _RFC),
    Element(12, "destinationIPv4Address", "dst_addr", _4, _RFC),
    Element(28, "destinationIPv6Address", "dst_addr", _6, _RFC),
    Element(15, "ipNextHopIPv4Address", "next_hop", _4, _RFC),
    Element(62, "ipNextHopIPv6Address", "next_hop", _6, _RFC),
    Element(18, "bgpNextHopIPv4Address", "bgp_next_hop", _4, _RFC),
    Element(63, "bgpNextHopIPv6Address", "bgp_next_hop", _6, _RFC),
    Element(7, "sourceTransportPort", "src_port", _U, _RFC),
    Element(180, "udpSourcePort", "src_port", _U, _RFC),
    Element(182, "tcpSourcePort", "src_port", _U, _RFC),
    Element(11, "destinationTransportPort", "dst_port", _U, _RFC),
    Element(181, "udpDestinationPort", "dst_port", _U, _RFC),
    Element(183, "tcpDestinationPort", "dst_port", _U, _RFC),
    Element(176, "icmpTypeIPv4", "icmp_type", _U, _RFC),
    Element(178, "icmpTypeIPv6", "icmp_type", _U, _RFC),
    Element(177, "icmpCodeIPv4", "icmp_code", _U, _RFC),
    Element(179, "icmpCodeIPv6", "icmp_code", _U, _RFC),
    Element(32, "icmpTypeCodeIPv4", "icmp_type", Reading.ICMP_TYPE_CODE, _RFC),
    Element(139, "icmpTypeCodeIPv6", "icmp_type", Reading.ICMP_TYPE_CODE, _RFC),
    Element(4, "protocolIdentifier", "protocol", _U, _RFC),
    Element(6, "tcpControlBits", "tcp_flags", _U, "RFC 7125"),
    Element(5, "ipClassOfService", "tos", _U, _RFC),
    Element(10, "ingressInterface", "in_if", _U, _RFC),
    Element(252, "ingressPhysicalInterface", "in_if", _U, _RFC),
    Element(14, "egressInterface", "out_if", _U, _RFC),
    Element(253, "egressPhysicalInterface", "out_if", _U, _RFC),
    Element(61, "flowDirection", "direction", _U, _RFC),
    Element(16, "bgpSourceAsNumber", "src_as", _U, _RFC),
    Element(17, "bgpDestinationAsNumber", "dst_as", _U, _RFC),
    Element(9, "sourceIPv4PrefixLength", "src_prefix", _U, _RFC),
    Element(29, "sourceIPv6PrefixLength", "src_prefix", _U, _RFC),
    Element(13, "destinationIPv4PrefixLength", "dst_prefix", _U, _RFC),
    Element(30, "destinationIPv6PrefixLength", "dst_prefix", _U, _RFC),
    Element(58, "vlanId", "src_vlan", _U, _RFC),
    Element(243, "dot1qVlanId", "src_vlan", _U, "RFC 7133"),
    Element(59, "postVlanId", "dst_vlan", _U, _RFC),
    Element(254, "postDot1qVlanId", "dst_vlan", _U, "RFC 7133"),
    Element(56, "sourceMacAddress", "src_mac", _U, _RFC),
    Element(81, "postSourceMacAddress", "src_mac", _U, _RFC),
    Element(80, "destinationMacAddress", "dst_mac", _U, _RFC),
    Element(57, "postDestinationMacAddress", "dst_mac", _U, _RFC),
    Element(70, "mplsTopLabelStackSection", "mpls_label", Reading.MPLS_LABEL, "RFC 3032"),
    Element(1, "octetDeltaCount", "bytes", _U, _RFC),
    Element(85, "octetTotalCount", "bytes", _U, _RFC),
    Element(352, "layer2OctetDeltaCount", "bytes", _U, "RFC 7133"),
    Element(231, "initiatorOctets", "bytes", _U, _NSEL),
    Element(232, "responderOctets", "bytes", _U, _NSEL, reverse=True),
    Element(23, "postOctetDeltaCount", "bytes", _U, _RFC),
    Element(2, "packetDeltaCount", "packets", _U, _RFC),
    Element(86, "packetTotalCount", "packets", _U, _RFC),
    Element(298, "initiatorPackets", "packets", _U, _NSEL),
    Element(299, "responderPackets", "packets", _U, _NSEL, reverse=True),
    Element(24, "postPacketDeltaCount", "packets", _U, _RFC),
    Element(34, "samplingInterval", "sampling_rate", _U, _CISCO),
    Element(50, "samplerRandomInterval", "sampling_rate", _U, _PSAMP),
    Element(89, "forwardingStatus", "forwarding_status", _U, "RFC 7270"),
    Element(136, "flowEndReason", "flow_end_reason", _U, _RFC),
    Element(95, "applicationId", "application", _U, "RFC 6759"),
    Element(233, "firewallEvent", "firewall_event", _U, _NSEL),
    Element(40005, "NF_F_FW_EVENT", "firewall_event", _U, _NSEL),
    Element(225, "postNATSourceIPv4Address", "nat_src_addr", _4, _NAT),
    Element(281, "postNATSourceIPv6Address", "nat_src_addr", _6, _NAT),
    Element(226, "postNATDestinationIPv4Address", "nat_dst_addr", _4, _NAT),
    Element(282, "postNATDestinationIPv6Address", "nat_dst_addr", _6, _NAT),
    Element(227, "postNAPTSourceTransportPort", "nat_src_port", _U, _NAT),
    Element(228, "postNAPTDestinationTransportPort", "nat_dst_port", _U, _NAT),
    Element(234, "ingressVRFID", "vrf", _U, _RFC),
    Element(235, "egressVRFID", "vrf", _U, _RFC),
    Element(152, "flowStartMilliseconds", "started_at", Reading.MILLISECONDS, _RFC),
    Element(154, "flowStartMicroseconds", "started_at", Reading.NTP, _RFC),
    Element(156, "flowStartNanoseconds", "started_at", Reading.NTP, _RFC),
    Element(158, "flowStartDeltaMicroseconds", "started_at", Reading.BEFORE_EXPORT, _RFC),
    Element(22, "flowStartSysUpTime", "started_at", Reading.UPTIME, _RFC),
    Element(150, "flowStartSeconds", "started_at", Reading.SECONDS, _RFC),
    Element(323, "observationTimeMilliseconds", "started_at", Reading.MILLISECONDS, _PSAMP),
    Element(324, "observationTimeMicroseconds", "started_at", Reading.NTP, _PSAMP),
    Element(325, "observationTimeNanoseconds", "started_at", Reading.NTP, _PSAMP),
    Element(322, "observationTimeSeconds", "started_at", Reading.SECONDS, _PSAMP),
    Element(153, "flowEndMilliseconds", "ended_at", Reading.MILLISECONDS, _RFC),
    Element(155, "flowEndMicroseconds", "ended_at", Reading.NTP, _RFC),
    Element(157, "flowEndNanoseconds", "ended_at", Reading.NTP, _RFC),
    Element(159, "flowEndDeltaMicroseconds", "ended_at", Reading.BEFORE_EXPORT, _RFC),
    Element(21, "flowEndSysUpTime", "ended_at", Reading.UPTIME, _RFC),
    Element(151, "flowEndSeconds", "ended_at", Reading.SECONDS, _RFC),
    Element(323, "observationTimeMilliseconds", "ended_at", Reading.MILLISECONDS, _PSAMP),
    Element(324, "observationTimeMicroseconds", "ended_at", Reading.NTP, _PSAMP),
    Element(325, "observationTimeNanoseconds", "ended_at", Reading.NTP, _PSAMP),
    Element(322, "observationTimeSeconds", "ended_at", Reading.SECONDS, _PSAMP),
    Element(161, "flowDurationMilliseconds", "ended_at", Reading.DURATION_MS, _RFC),
    Element(162, "flowDurationMicroseconds", "ended_at", Reading.DURATION_US, _RFC),
    Element(160, "systemInitTimeMilliseconds", "system_init", Reading.MILLISECONDS, _RFC),
)

BY_NUMBER: dict[int, tuple[tuple[int, Element], ...]] = {
    number: tuple((rank, e) for rank, e in enumerate(ELEMENTS) if e.number == number)
    for number in {e.number for e in ELEMENTS}
}
"""Element number -> its entries with their rank in the table (a lower rank wins)."""


def lengths(element: Element) -> range | tuple[int, ...]:
    """Return the lengths in bytes that `element` can be read from."""
    match element.reading:
        case Reading.IPV4:
            return (4,)
        case Reading.IPV6:
            return (16,)
        case Reading.ICMP_TYPE_CODE:
            return (1, 2)
        case Reading.MPLS_LABEL:
            return (3, 4)
        case Reading.UPTIME:
            return range(1, 5)
        case Reading.NTP:
            return (8,)
        case _:
            return range(1, 9)

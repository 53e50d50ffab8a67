"""Names of applications."""

import pytest

from services.central.filters import condition
from services.central.pages.applications import application_detail, application_name, dscp_name


@pytest.mark.parametrize(
    ("protocol", "port", "name", "detail"),
    [
        (6, 443, "HTTPS", "tcp/443"),
        (17, 443, "QUIC", "udp/443"),
        (6, 53, "DNS", "tcp/53"),
        (6, 8123, "TCP 8123", "tcp/8123"),
        (17, 0, "UDP, no port", "udp/0"),
        (1, 0, "ICMP", "icmp"),
        (58, 0, "ICMPv6", "icmp6"),
        (200, 0, "protocol 200", "200"),
    ],
)
def test_an_application_has_a_name_and_the_text_of_its_filter(
    protocol: int, port: int, name: str, detail: str
) -> None:
    assert application_name(protocol, port) == name
    assert application_detail(protocol, port) == detail


def test_every_protocol_and_port_has_a_filter_that_reports_accept() -> None:
    for protocol in range(256):
        for port in (0, 1, 65_535):
            condition("application", [application_detail(protocol, port)])


def test_dscp_has_the_names_of_rfc_4594() -> None:
    assert (dscp_name(46), dscp_name(0), dscp_name(3)) == ("EF", "Best effort", "DSCP 3")

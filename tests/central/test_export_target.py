import pytest

from services.central.pages.export_target import UNKNOWN_HOST, ExportTarget, export_target


@pytest.mark.parametrize(
    ("configured", "browsed", "text"),
    [
        ("", "netflow.example.net:8470", "netflow.example.net:2055"),
        (":9995", "10.1.2.3:8470", "10.1.2.3:9995"),
        ("192.0.2.7:4739", "10.1.2.3:8470", "192.0.2.7:4739"),
        ("192.0.2.7", "10.1.2.3", "192.0.2.7:2055"),
        ("[2001:db8::7]:4739", "", "[2001:db8::7]:4739"),
        ("2001:db8::7", "", "[2001:db8::7]:2055"),
        ("", "[2001:db8::7]:8470", "[2001:db8::7]:2055"),
        ("0.0.0.0:2055", "10.1.2.3:8470", "10.1.2.3:2055"),
        ("[::]:2055", "10.1.2.3:8470", "10.1.2.3:2055"),
        (":70000", "10.1.2.3", "10.1.2.3:2055"),
    ],
)
def test_the_host_is_that_of_the_settings_or_of_the_browser(
    configured: str, browsed: str, text: str
) -> None:
    assert export_target(configured, browsed).text == text


@pytest.mark.parametrize(
    "browsed",
    [
        "",
        "<script>alert(1)</script>",
        'x"onload="y',
        "a b",
        "host\nno flow monitor",
        "a;reload",
        "$(reboot)",
        "é.example",
        "-x",
        "a..b",
        "10.1.2.300",
        "12",
        "x" * 300,
    ],
)
def test_a_host_header_that_is_no_host_is_never_shown(browsed: str) -> None:
    assert export_target("", browsed) == ExportTarget(UNKNOWN_HOST, 2055)


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("10.0.0.1", False), ("a.b", False)],
)
def test_loopback_is_what_no_router_reaches(host: str, is_loopback: bool) -> None:
    assert ExportTarget(host, 2055).is_loopback is is_loopback

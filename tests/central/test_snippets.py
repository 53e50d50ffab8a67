import html
import re
import shlex

import pytest

from services.central.pages.export_target import ExportTarget
from services.central.pages.loss_reasons import EXPLAINED, explain
from services.central.pages.snippets import snippets
from shared.losses import LossReason

KEYS = ["ios", "nxos", "iosxr", "junos", "routeros", "softflowd"]


def test_there_is_one_for_every_platform() -> None:
    assert [each.key for each in snippets(ExportTarget("192.0.2.9", 2055))] == KEYS


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("target", [ExportTarget("192.0.2.9", 9995), ExportTarget("fd00::9", 2055)])
def test_it_names_the_collector_and_nothing_else(key: str, target: ExportTarget) -> None:
    (text,) = (each.text for each in snippets(target) if each.key == key)

    assert text.count(target.host) >= 1
    assert re.search(rf"\b{target.port}\b", text)
    assert set(re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", text)) <= {target.host}
    # What is pasted into a terminal is plain, and needs no escaping in a page.
    assert text.isascii()
    assert html.escape(text) == text


@pytest.mark.parametrize(
    ("key", "lines"),
    [
        (
            "ios",
            [
                "flow record STEADFLOW", "flow exporter STEADFLOW", " destination 192.0.2.9",
                " transport udp 9995", " template data timeout 60", "flow monitor STEADFLOW",
                " cache timeout active 60", " ip flow monitor STEADFLOW input",
            ],
        ),
        (
            "nxos",
            [
                "feature netflow", "flow timeout 60", "  destination 192.0.2.9",
                "  transport udp 9995", "  version 9", "    template data timeout 60",
                "  ip flow monitor STEADFLOW input",
            ],
        ),
        (
            "iosxr",
            [
                "flow exporter-map STEADFLOW", " version v9", "  template data timeout 60",
                " transport udp 9995", " destination 192.0.2.9", " cache timeout active 60",
                "sampler-map STEADFLOW", " random 1 out-of 1024",
                " flow ipv4 monitor STEADFLOW-V4 sampler STEADFLOW ingress", "commit",
            ],
        ),
        (
            "junos",
            [
                "set services flow-monitoring version-ipfix template STEADFLOW ipv4-template",
                "set services flow-monitoring version-ipfix template STEADFLOW "
                "flow-active-timeout 60",
                "set services flow-monitoring version-ipfix template STEADFLOW "
                "template-refresh-rate seconds 60",
                "set forwarding-options sampling instance STEADFLOW input rate 1024",
                "set forwarding-options sampling instance STEADFLOW family inet output "
                "flow-server 192.0.2.9 port 9995",
                "set forwarding-options sampling instance STEADFLOW family inet output "
                "flow-server 192.0.2.9 version-ipfix template STEADFLOW",
                "set chassis fpc 0 sampling-instance STEADFLOW",
                "set interfaces xe-0/0/0 unit 0 family inet sampling input",
            ],
        ),
    ],
)  # fmt: skip
def test_it_has_the_lines_the_platform_needs(key: str, lines: list[str]) -> None:
    (text,) = (each.text for each in snippets(ExportTarget("192.0.2.9", 9995)) if each.key == key)

    assert [line for line in lines if line not in text.splitlines()] == []


def test_routeros_continues_its_line_and_resends_templates_each_minute() -> None:
    (text,) = (e.text for e in snippets(ExportTarget("192.0.2.9", 9995)) if e.key == "routeros")
    enable, target = text.replace("\\\n    ", "").splitlines()

    assert enable.startswith("/ip traffic-flow set enabled=yes")
    assert "active-flow-timeout=1m" in enable.split()
    assert target.split()[:4] == ["/ip", "traffic-flow", "target", "add"]
    assert {"dst-address=192.0.2.9", "port=9995", "version=9", "v9-template-timeout=1m"} <= set(
        target.split()
    )


@pytest.mark.parametrize(
    ("host", "to"), [("192.0.2.9", "192.0.2.9:2055"), ("fd00::9", "[fd00::9]:2055")]
)
def test_softflowd_takes_an_ipv6_address_in_brackets(host: str, to: str) -> None:
    (text,) = (each.text for each in snippets(ExportTarget(host, 2055)) if each.key == "softflowd")
    words = shlex.split(text)

    assert words[0] == "softflowd"
    assert words[words.index("-n") + 1] == to
    assert "maxlife=60" in words


def test_every_reason_of_a_loss_says_what_to_do() -> None:
    assert set(EXPLAINED) == set(LossReason)
    for reason in LossReason:
        happened, advice = explain(reason.label)
        assert happened
        assert advice.endswith(".")


def test_a_reason_of_a_newer_release_is_shown_as_it_is() -> None:
    assert explain("sequence_gap")[0] == "sequence gap"

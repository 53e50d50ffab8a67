from dataclasses import replace
from typing import Any

import pytest

from services.central.pages.export_target import ExportTarget
from services.central.pages.nothing import first_flows, nothing_here
from services.central.pages.status import Collector
from services.central.pages.time_range import Absolute, Relative
from services.central.pages.view import View, read_view

TARGET = ExportTarget("192.0.2.9", 2055)
HOUR_MS = 3_600_000
NOW_MS = 1_772_460_000_000


def texts(model: dict[str, Any]) -> list[str]:
    return [fact["text"] for fact in model["facts"]]


def loss(exporter: str, reason: str, datagrams: int) -> dict[str, Any]:
    return {"exporter": exporter, "reason": reason, "datagrams": datagrams, "flows": 0}


def test_before_the_first_flow_it_says_where_to_send_and_how() -> None:
    model = first_flows(TARGET, [Collector("collector-1/0", 0.4)], [])

    assert model["title"] == "No flows yet"
    assert model["target"] == "192.0.2.9:2055"
    assert texts(model)[0] == "Collector collector-1/0 listens."
    assert len(model["snippets"]) == 6
    assert all("192.0.2.9" in each["text"] for each in model["snippets"])
    assert model["warning"] == ""


def test_without_a_collector_it_says_to_start_one() -> None:
    assert "steadflow up" in texts(first_flows(TARGET, [], []))[0]


def test_a_collector_that_fell_silent_is_said_to() -> None:
    model = first_flows(TARGET, [Collector("collector-1/0", 7300)], [])

    assert texts(model)[0] == "Collector collector-1/0 was last heard 2 h ago."
    assert model["facts"][0]["level"] == "warn"


def test_what_arrived_and_was_lost_is_named_with_what_to_do_the_largest_first() -> None:
    losses = [
        loss("192.0.2.1", "template_missing", 12),
        loss("192.0.2.2", "unknown_version", 3000),
        loss("::", "kernel_drop", 1),
    ]
    facts = first_flows(TARGET, [], losses)["facts"]

    assert facts[1]["text"] == (
        "3\u2009000 datagrams from 192.0.2.2: neither NetFlow v5, v9 nor IPFIX."
    )
    assert facts[2]["text"] == "12 datagrams from 192.0.2.1: data whose template never came."
    assert "60 s" in facts[2]["detail"]
    assert facts[3]["text"] == "1 datagram: dropped by the collector's kernel."


def test_many_exporters_that_lose_stay_a_short_list() -> None:
    losses = [loss(f"10.0.0.{n}", "truncated", 100 - n) for n in range(50)]

    assert texts(first_flows(TARGET, [], losses))[-1] == "and 42 more: steadflow report losses"


def test_an_exporter_that_never_sent_is_named() -> None:
    losses = [loss("10.0.0.7", "bad_template", 2)]
    model = first_flows(TARGET, [], losses, exporter="10.0.0.7")

    assert model["title"] == "No flows from 10.0.0.7 yet"
    assert texts(model)[1] == "2 datagrams: template that makes no sense."


@pytest.mark.parametrize(
    ("host", "said"), [("127.0.0.1", "--udp-host"), ("COLLECTOR-ADDRESS", "stands for")]
)
def test_an_address_that_routers_cannot_use_comes_with_a_warning(host: str, said: str) -> None:
    assert said in first_flows(ExportTarget(host, 2055), [], [])["warning"]


def test_filters_can_be_removed_one_by_one_or_all_and_the_range_stays() -> None:
    view = View(range=Relative(900), filters=(("src_addr", "10.0.0.1"), ("application", "tcp/443")))
    model = nothing_here(view, subject="", now_ms=NOW_MS, last_ms=NOW_MS - 1000)
    strong, *others = model["actions"]

    assert model["title"] == "No flows pass these filters"
    assert (strong["label"], strong["strong"]) == ("Remove all filters", True)
    assert read_view(strong["href"]).view == replace(view, filters=())
    assert others[0]["label"] == "Remove source 10.0.0.1"
    assert read_view(others[0]["href"]).view.filters == (("application", "tcp/443"),)
    assert all(
        read_view(each["href"]).view.range == Relative(900) for each in (strong, *others[:2])
    )


def test_a_range_without_flows_leads_to_the_last_ones_and_to_wider_ranges() -> None:
    last_ms = NOW_MS - 30 * HOUR_MS
    model = nothing_here(View(), subject="", now_ms=NOW_MS, last_ms=last_ms)
    actions = {each["label"]: each for each in model["actions"]}

    assert model["title"] == "No flows in this range"
    assert model["lead"] == "The last flow came 30 h ago."
    shown = read_view(actions["Show the last flows"]["href"]).view.range
    assert isinstance(shown, Absolute)
    assert shown.from_ms <= last_ms < shown.to_ms
    assert [each for each in actions if actions[each]["strong"]] == ["Show the last flows"]
    assert read_view(actions["Last 7 days"]["href"]).view.range == Relative(7 * 86_400)


def test_every_range_offered_is_wider() -> None:
    for seconds in (300, 3600, 86_400, 40 * 86_400):
        view = View(range=Relative(seconds))
        model = nothing_here(view, subject="", now_ms=NOW_MS, last_ms=None)
        ranges = [read_view(each["href"]).view.range for each in model["actions"]]
        assert all(isinstance(each, Relative) and each.since_s > seconds for each in ranges)
        assert ranges


def test_what_the_page_is_about_is_named() -> None:
    model = nothing_here(View(), subject="of host 10.0.0.1", now_ms=NOW_MS, last_ms=None)

    assert model["title"] == "No flows of host 10.0.0.1 in this range"
    assert model["lead"] == ""

"""Rows of the tables."""

from services.central.pages import tables
from services.central.pages.network_tables import (
    Now,
    exporter_columns,
    exporter_rows,
    interface_columns,
    interface_rows,
)
from services.central.pages.rates_now import Rates
from services.central.pages.tables import Context
from services.central.pages.view import View

SUMS = {"bytes_scaled": 7_500_000, "packets_scaled": 6000, "flows": 60}
CONTEXT = Context(
    View(),
    60.0,
    {"bytes_scaled": 15_000_000, "packets_scaled": 12_000, "flows": 120},
    {"192.0.2.1": "core <b>1</b>"},
    {("192.0.2.1", 7): "xe-0/0/7"},
)
NOW = Now(1_800_000_000_000, None, {"192.0.2.1": 1_799_999_997_000}, {})


def test_a_row_has_rate_share_exact_sums_and_a_filter() -> None:
    rows: list[dict[str, object]] = [
        {"src_addr": "10.0.0.1", **SUMS},
        {"src_addr": None, **SUMS, "bytes_scaled": 750_000},
    ]

    first, second = tables.top_rows(rows, tables.address("src_addr"), CONTEXT)

    assert first["share"] == 100
    assert second["share"] == 10
    subject, rate, share = first["cells"]
    assert subject["href"] == "?src_addr=10.0.0.1"
    assert subject["open"] == "/hosts/10.0.0.1"
    assert (rate["text"], rate["sort"]) == ("1.00 Mbit/s", 1_000_000)
    assert rate["title"] == "7.50 MB, 6\u2009000 packets, 60 flows"
    assert share["text"] == "50.0 %"
    assert "href" not in second["cells"][0]


def test_rows_follow_the_metric() -> None:
    context = Context(View(metric="flows"), 60.0, {"flows": 120}, {}, {})

    (row,) = tables.top_rows([{"protocol": 6, **SUMS}], tables.protocol, context)

    assert [cell["text"] for cell in row["cells"]] == ["TCP", "1.00 fps", "50.0 %"]
    assert row["cells"][0]["href"] == "?protocol=6&metric=flows"


def test_a_conversation_filters_both_ends() -> None:
    row = {"src_addr": "10.0.0.1", "dst_addr": "2001:db8::1", **SUMS}

    (found,) = tables.top_rows([row], tables.conversation, CONTEXT)

    parts = found["cells"][0]["parts"]
    assert [part["text"] for part in parts] == ["10.0.0.1", "2001:db8::1"]
    assert parts[0]["href"] == "?src_addr=10.0.0.1&dst_addr=2001:db8::1"


def test_an_application_has_its_name_and_its_port() -> None:
    row = {"protocol": 6, "application_port": 443, **SUMS}

    (found,) = tables.top_rows([row], tables.application, CONTEXT)

    cell = found["cells"][0]
    assert (cell["text"], cell["detail"]) == ("HTTPS", "tcp/443")
    assert cell["href"] == "?application=tcp/443"


def test_an_exporter_has_its_name_as_text_and_when_it_was_seen() -> None:
    (row,) = exporter_rows([{"exporter": "192.0.2.1", **SUMS}], CONTEXT, NOW, 10)

    assert row["cells"][0]["text"] == "core <b>1</b>"
    assert row["cells"][0]["detail"] == "192.0.2.1"
    assert row["cells"][0]["open"] == "/exporters/192.0.2.1"
    assert row["cells"][1]["text"] == "now"
    assert len(row["cells"]) == len(exporter_columns("bytes", NOW))


def _interface(index: int, in_bytes: int, out_bytes: int) -> dict[str, object]:
    sums = {"packets_scaled": 1, "flows": 1}
    return {
        "exporter": "192.0.2.1",
        "interface": index,
        **{f"in_{name}": value for name, value in {**sums, "bytes_scaled": in_bytes}.items()},
        **{f"out_{name}": value for name, value in {**sums, "bytes_scaled": out_bytes}.items()},
    }


def test_interfaces_come_by_their_busier_direction() -> None:
    rows = [_interface(3, 10, 20), _interface(7, 5, 7_500_000), _interface(0, 90, 0)]

    found = interface_rows(rows, CONTEXT, NOW, 10)

    assert [row["cells"][0]["text"] for row in found] == ["xe-0/0/7", "no interface", "if 3"]
    assert found[0]["cells"][0]["href"] == "?exporter=192.0.2.1&interface=7"
    assert [cell["text"] for cell in found[0]["cells"][1:]] == ["0.667 bit/s", "1.00 Mbit/s"]


def test_live_rates_and_load_have_columns_once_they_are_known() -> None:
    now = Now(
        NOW.now_ms,
        Rates({("192.0.2.1", 7, "in"): 2e6, ("192.0.2.1", None, "in"): 3e6}),
        {},
        {("192.0.2.1", 7): 10_000_000},
    )

    (interface,) = interface_rows([_interface(7, 0, 7_500_000)], CONTEXT, now, 10)
    (exporter,) = exporter_rows([{"exporter": "192.0.2.1", **SUMS}], CONTEXT, now, 10)

    assert [each.label for each in interface_columns("bytes", now)][-3:] == [
        "In now",
        "Out now",
        "Load",
    ]
    assert [c["text"] for c in interface["cells"]][-3:] == ["2.00 Mbit/s", "0 bit/s", "10.0 %"]
    assert exporter["cells"][-1]["text"] == "3.00 Mbit/s"


def test_a_rate_that_a_limit_left_out_is_a_dash() -> None:
    rates = Rates({}, has_all_exporters=False, has_all_interfaces=False)
    now = Now(NOW.now_ms, rates, {}, {})

    (interface,) = interface_rows([_interface(7, 0, 7_500_000)], CONTEXT, now, 10)
    (exporter,) = exporter_rows([{"exporter": "192.0.2.1", **SUMS}], CONTEXT, now, 10)

    assert [cell["text"] for cell in interface["cells"]][-2:] == ["\u2013", "\u2013"]
    assert exporter["cells"][-1]["text"] == "\u2013"

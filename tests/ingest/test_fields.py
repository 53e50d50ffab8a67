"""From the bytes of a field to the value of a column; protocol facts one by one."""

import struct
from typing import Any

import pytest

from services.ingest.decode.decoding import DecoderState, Limits
from shared.addresses import format_address, pack_address
from shared.losses import LossReason
from shared.sampling import SamplingSource
from tests.ingest.test_decoding import (
    NOW_MS,
    A,
    build,
    data_rows,
    ipfix,
    rows_of,
    set_of,
    template,
    v5,
    v9,
)

Field = tuple[int, int, bytes]
"""(enterprise, element, value)."""


def ipfix_template(template_id: int, fields: list[tuple[int, int, int]], scopes: int = 0) -> bytes:
    body = struct.pack(">HH", template_id, len(fields))
    body += struct.pack(">H", scopes) if scopes else b""
    for enterprise, element, length in fields:
        if enterprise:
            body += struct.pack(">HHI", element | 0x8000, length, enterprise)
        else:
            body += struct.pack(">HH", element, length)
    return set_of(3 if scopes else 2, body)


def records(*fields: Field) -> list[dict[str, Any]]:
    """Rows of one IPFIX record of these fields."""
    layout = [(enterprise, element, len(value)) for enterprise, element, value in fields]
    data = b"".join(value for _, _, value in fields)
    return data_rows([ipfix(ipfix_template(300, layout), set_of(300, data))])


def record(*fields: Field) -> dict[str, Any]:
    (row,) = records(*fields)
    return row


def ms(row: dict[str, Any], name: str) -> int:
    found: int = round(row[name].timestamp() * 1000)
    return found


@pytest.mark.parametrize("length", range(1, 9))
def test_counters_of_any_length(length: int) -> None:
    value = (1 << (8 * length)) - 2
    assert record((0, 1, value.to_bytes(length, "big")))["bytes"] == value


def test_a_value_that_the_column_cannot_hold_is_absent() -> None:
    row = record((0, 2, b"\1"), (0, 7, (70_000).to_bytes(4, "big")), (0, 11, b"\0\0\1\xbb"))
    assert "src_port" not in row
    assert row["dst_port"] == 443


@pytest.mark.parametrize(
    ("element", "length"), [(8, 3), (27, 15), (1, 9), (1, 0), (22, 8), (70, 2), (152, 65534)]
)
def test_a_field_of_impossible_length_fills_nothing(element: int, length: int) -> None:
    layout = ipfix_template(300, [(0, element, length), (0, 7, 2)])
    body = set_of(300, bytes(length) + b"\0\5") if length < 60_000 else b""
    decoded = build(DecoderState(), [(0, A, ipfix(layout, body))]).finish()
    assert [row["src_port"] for row in rows_of(decoded)] == ([5] if body else [])
    assert decoded.losses == ()


def test_addresses_of_both_families_in_one_template() -> None:
    v4, v6 = bytes([192, 0, 2, 1]), pack_address("2001:db8::5")
    for one, other, expected in [
        (v4, bytes(16), "192.0.2.1"),
        (bytes(4), v6, "2001:db8::5"),
        (bytes(4), bytes(16), "0.0.0.0"),
        (v4, v6, "192.0.2.1"),
    ]:
        for fields in [((0, 8, one), (0, 27, other)), ((0, 27, other), (0, 8, one))]:
            assert format_address(record(*fields, (0, 4, b"\6"))["src_addr"]) == expected


def test_next_hop_zero_is_absent_but_source_zero_is_an_address() -> None:
    row = record((0, 8, bytes(4)), (0, 15, bytes(4)), (0, 62, bytes(16)))
    assert format_address(row["src_addr"]) == "0.0.0.0"
    assert "next_hop" not in row


def test_of_two_counters_the_first_of_the_table_counts() -> None:
    payload = ipfix(
        ipfix_template(300, [(0, 85, 4), (0, 1, 4)]), set_of(300, b"\0\0\0\7" + bytes(4))
    )
    decoded = build(DecoderState(), [(0, A, payload)]).finish()
    assert "bytes" not in rows_of(decoded)[0]
    assert decoded.seen[0].ignored == {(0, 85): 1}
    assert record((0, 85, b"\7"))["bytes"] == 7
    assert record((0, 352, b"\7"))["bytes"] == 7
    assert record((0, 23, b"\7"))["bytes"] == 7


def test_macs_labels_and_interfaces() -> None:
    row = record(
        (0, 56, bytes.fromhex("0211223344ff")),
        (0, 70, bytes.fromhex("123451")),
        (0, 10, b"\0\0"),
        (0, 252, b"\0\7"),
    )
    assert row["src_mac"] == 0x0211223344FF
    assert row["mpls_label"] == 0x12345
    assert row["in_if"] == 7
    assert record((0, 70, bytes.fromhex("12345140")))["mpls_label"] == 0x12345


@pytest.mark.parametrize(
    "fields",
    [
        [(0, 32, b"\3\1")],
        [(0, 139, b"\3\1")],
        [(0, 176, b"\3"), (0, 177, b"\1")],
        [(0, 178, b"\3"), (0, 179, b"\1")],
        [(0, 4, b"\1"), (0, 11, b"\3\1")],
        [(0, 4, b"\x3a"), (0, 11, b"\3\1")],
    ],
)
def test_icmp_type_and_code(fields: list[Field]) -> None:
    row = record(*fields)
    assert (row["icmp_type"], row["icmp_code"]) == (3, 1)


def test_a_port_of_tcp_is_no_icmp_type() -> None:
    row = record((0, 4, b"\6"), (0, 11, b"\3\1"))
    assert "icmp_type" not in row


# Times.

SECOND = NOW_MS // 1000
NTP_NOW = ((SECOND + 2_208_988_800) << 32 | 1 << 31).to_bytes(8, "big")


@pytest.mark.parametrize(
    ("element", "value", "expected"),
    [
        (150, SECOND.to_bytes(4, "big"), NOW_MS),
        (152, (NOW_MS + 7).to_bytes(8, "big"), NOW_MS + 7),
        (154, NTP_NOW, NOW_MS + 500),
        (156, NTP_NOW, NOW_MS + 500),
        (158, (2_500_000).to_bytes(4, "big"), NOW_MS - 2500),
        (322, SECOND.to_bytes(4, "big"), NOW_MS),
        (323, (NOW_MS + 7).to_bytes(8, "big"), NOW_MS + 7),
        (325, NTP_NOW, NOW_MS + 500),
    ],
)
def test_starts_of_ipfix(element: int, value: bytes, expected: int) -> None:
    assert ms(record((0, element, value)), "started_at") == expected


def test_ends_of_ipfix() -> None:
    start = (0, 152, (NOW_MS).to_bytes(8, "big"))
    assert ms(record((0, 153, start[2])), "ended_at") == NOW_MS
    assert ms(record(start, (0, 161, b"\x03\xe8")), "ended_at") == NOW_MS + 1000
    assert ms(record(start, (0, 162, (2_000_000).to_bytes(4, "big"))), "ended_at") == NOW_MS + 2000
    assert "ended_at" not in record((0, 161, b"\x03\xe8"), (0, 7, b"\1"))


def test_ntp_after_its_wrap_of_2036() -> None:
    row = record((0, 156, (100 << 32).to_bytes(8, "big")))
    assert ms(row, "started_at") == (2**32 - 2_208_988_800 + 100) * 1000


@pytest.mark.parametrize("value", [2**64 - 1, 2**63, 1 << 50])
def test_a_time_beyond_all_reason_is_unknown(value: int) -> None:
    assert "started_at" not in record((0, 7, b"\1"), (0, 152, value.to_bytes(8, "big")))


def test_uptimes_of_ipfix_need_the_system_init() -> None:
    uptimes = [(0, 22, (5000).to_bytes(4, "big")), (0, 21, (6000).to_bytes(4, "big"))]
    assert "ended_at" not in record(*uptimes, (0, 7, b"\1"))
    row = record(*uptimes, (0, 160, (NOW_MS - 10_000).to_bytes(8, "big")))
    assert (ms(row, "started_at"), ms(row, "ended_at")) == (NOW_MS - 5000, NOW_MS - 4000)


def test_the_system_init_may_come_in_options_data() -> None:
    options = ipfix_template(400, [(0, 143, 4), (0, 160, 8)], scopes=1)
    said = set_of(400, bytes(4) + (NOW_MS - 10_000).to_bytes(8, "big"))
    layout = ipfix_template(300, [(0, 22, 4), (0, 21, 4)])
    data = set_of(300, struct.pack(">II", 5000, 6000))
    # In the same message, in an earlier one, for data that waited, and not for another domain.
    for payloads in (
        [ipfix(options, said, layout, data)],
        [ipfix(options, said), ipfix(layout, data)],
        [ipfix(data), ipfix(options, said), ipfix(layout)],
    ):
        (row,) = data_rows(payloads)
        assert (ms(row, "started_at"), ms(row, "ended_at")) == (NOW_MS - 5000, NOW_MS - 4000)
    (row,) = data_rows([ipfix(options, said), ipfix(layout, data, domain=2)])
    assert "ended_at" not in row


@pytest.mark.parametrize(
    ("uptime", "first", "last", "started", "ended"),
    [
        (10_000, 4000, 9000, -6000, -1000),
        # Wrapped by 1 ms before the header (graylog netflow-v5-1).
        (3381, 2**32 - 1, 2**32 - 1, -3382, -3382),
        # The counter wrapped between First and Last, and between Last and the header.
        (500, 2**32 - 200, 100, -700, -400),
        (500, 2**32 - 200, 2**32 - 100, -700, -600),
        # Up to 100 s ahead is jitter, more is a wrap.
        (10_000, 11_000, 12_000, 1000, 2000),
        (10_000, 300_000, 300_000, 290_000 - 2**32, 290_000 - 2**32),
        # A First just after its Last.
        (10_000, 9001, 9000, -1000, -1000),
    ],
)
def test_first_and_last(uptime: int, first: int, last: int, started: int, ended: int) -> None:
    layout = set_of(0, template(256, (22, 4), (21, 4)))
    data = set_of(256, struct.pack(">II", first, last))
    (row,) = data_rows([v9(layout, data, uptime=uptime)])
    assert (ms(row, "started_at") - NOW_MS, ms(row, "ended_at") - NOW_MS) == (started, ended)


# NetFlow v5.


def test_netflow5_sampling_is_the_low_14_bits() -> None:
    (row,) = data_rows([v5(sampling=0x4000 | 100)])
    assert row["sampling_rate"] == 100
    assert row["sampling_source"] == SamplingSource.HEADER
    (row,) = data_rows([v5(sampling=0x4000)])
    assert "sampling_rate" not in row
    assert row["observation_domain"] == 0x0102


@pytest.mark.parametrize(
    ("payload", "rows", "losses"),
    [
        (v5(30), 30, []),
        (v5(31), 31, []),
        (v5(2) + b"tail", 2, []),
        (v5(2) + v5(3), 5, []),
        (v5(2) + bytes(100), 2, []),
        (v5(3, count=5), 3, [(LossReason.TRUNCATED, 2)]),
        (v5(30, count=55_582), 0, [(LossReason.BAD_COUNT, 30)]),
        (v5(2, count=0), 0, [(LossReason.BAD_COUNT, 2)]),
        (v5(1)[:20], 0, [(LossReason.TRUNCATED, 0)]),
    ],
)
def test_netflow5_counts(payload: bytes, rows: int, losses: list[tuple[LossReason, int]]) -> None:
    decoded = build(DecoderState(), [(0, A, payload)]).finish()
    assert decoded.rows == rows
    assert [(loss.reason, loss.flows) for loss in decoded.losses] == losses


@pytest.mark.parametrize("element", [34, 50])
def test_the_sampling_rate_of_a_record(element: int) -> None:
    row = record((0, 1, b"\1"), (0, element, b"\0\0\3\xe8"))
    assert (row["sampling_rate"], row["sampling_source"]) == (1000, SamplingSource.RECORD)
    # Interval 0 says nothing, and takes no bytes away (nfdump#187).
    row = record((0, 1, b"\1"), (0, element, bytes(4)))
    assert row["bytes"] == 1
    assert "sampling_rate" not in row


# Two directions.


def test_a_biflow_becomes_two_rows_with_the_ends_swapped() -> None:
    rows = records(
        (0, 8, bytes([192, 0, 2, 1])),
        (0, 12, bytes([192, 0, 2, 2])),
        (0, 7, b"\0\1"),
        (0, 11, b"\0\2"),
        (0, 4, b"\6"),
        (0, 6, b"\2"),
        (0, 10, b"\3"),
        (0, 14, b"\4"),
        (0, 1, b"\x64"),
        (29305, 1, b"\xc8"),
        (29305, 2, b"\5"),
        (29305, 6, b"\x12"),
    )
    keys = ("src_addr", "src_port", "dst_port", "in_if", "out_if", "bytes", "packets", "tcp_flags")
    found = [[row[key] for key in keys] for row in rows]
    one, two = pack_address("192.0.2.1"), pack_address("192.0.2.2")
    assert found == [[one, 1, 2, 3, 4, 100, 0, 2], [two, 2, 1, 4, 3, 200, 5, 0x12]]
    assert [row["protocol"] for row in rows] == [6, 6]


def test_a_second_direction_without_traffic_is_no_row() -> None:
    assert len(records((0, 1, b"\x64"), (29305, 1, b"\0"), (29305, 2, b"\0"))) == 1


def test_nsel_initiator_and_responder() -> None:
    rows = records((0, 233, b"\2"), (0, 7, b"\0\1"), (0, 231, b"\x0a"), (0, 232, b"\x14"))
    assert [(r["src_port"], r["dst_port"], r["bytes"]) for r in rows] == [(1, 0, 10), (0, 1, 20)]
    assert [row["firewall_event"] for row in rows] == [2, 2]
    created = records((0, 233, b"\1"), (0, 231, bytes(4)), (0, 232, bytes(4)))
    assert len(created) == 1


def test_the_asa_element_beyond_32767_is_plain_in_v9() -> None:
    payload = v9(set_of(0, template(256, (40005, 1), (7, 2))), set_of(256, b"\2\0\1\0"))
    (row,) = data_rows([payload])
    assert row["firewall_event"] == 2


# Variable lengths.


def var(value: bytes, *, long: bool = False) -> bytes:
    if long or len(value) >= 255:
        return b"\xff" + len(value).to_bytes(2, "big") + value
    return bytes([len(value)]) + value


def test_variable_lengths_are_walked_record_by_record() -> None:
    layout = ipfix_template(
        300, [(0, 7, 2), (0, 82, 65535), (0, 1, 3), (9, 1, 65535), (0, 11, 2), (0, 95, 65535)]
    )
    data = b""
    expected = []
    for index in range(1, 40):
        name = bytes(index * 9)
        data += struct.pack(">H", index) + var(name) + (index * 1000).to_bytes(3, "big")
        data += var(b"x", long=True) + struct.pack(">H", index + 1)
        data += var(index.to_bytes(index % 5, "big") if index % 5 else b"")
        expected.append((index, index * 1000, index + 1, index if index % 5 else 0))
    rows = data_rows([ipfix(layout, set_of(300, data[: len(data)]))])
    found = [(r["src_port"], r["bytes"], r["dst_port"], r["application"]) for r in rows]
    assert found == expected


def test_a_variable_field_beyond_its_set_loses_that_record_only() -> None:
    layout = ipfix_template(300, [(0, 7, 2), (0, 82, 65535)])
    data = b"\0\1" + var(b"eth0") + b"\0\2\x50abc"
    decoded = build(DecoderState(), [(0, A, ipfix(layout, set_of(300, data)))]).finish()
    assert decoded.rows == 1
    assert [(x.reason, x.flows) for x in decoded.losses] == [(LossReason.BAD_FIELD, 1)]


def test_variable_length_in_v9() -> None:
    payload = v9(set_of(0, template(256, (236, 65535), (7, 2))), set_of(256, var(b"vrf") + b"\0\5"))
    assert [row["src_port"] for row in data_rows([payload])] == [5]


# Templates.


def test_options_are_walked_without_harm() -> None:
    scoped = ipfix_template(400, [(9, 5, 4), (0, 34, 4), (8, 1, 65535)], scopes=1)
    data = set_of(400, bytes(8) + var(b"abc"))
    flows = ipfix_template(300, [(0, 7, 2)])
    payload = ipfix(scoped, data, flows, set_of(300, b"\0\5"))
    decoded = build(DecoderState(), [(0, A, payload)]).finish()
    assert [row["src_port"] for row in rows_of(decoded)] == [5]
    assert decoded.seen[0].options_records == 1
    assert decoded.losses == ()
    # v9 gives lengths in bytes.
    options = struct.pack(">HHH", 257, 4, 8) + struct.pack(">HHHHHH", 1, 0, 34, 4, 35, 1) + b"\0\0"
    payload = v9(set_of(1, options), set_of(257, bytes(5)), set_of(0, template(256, (7, 2))))
    decoded = build(DecoderState(), [(0, A, payload)]).finish()
    assert (decoded.seen[0].options_records, decoded.seen[0].templates) == (1, 2)
    assert decoded.losses == ()


@pytest.mark.parametrize(
    "body",
    [
        template(256),
        template(256, (7, 0)),
        template(255, (7, 2)),
        struct.pack(">HH", 256, 60_000),
        struct.pack(">HHHH", 256, 2, 7, 2),
        struct.pack(">HH", 256, 1025) + bytes(4 * 1025),
    ],
)
def test_bad_templates_are_counted_and_later_sets_live(body: bytes) -> None:
    good = set_of(0, template(300, (7, 2))), set_of(300, b"\0\5")
    decoded = build(DecoderState(), [(0, A, v9(set_of(0, body), *good))]).finish()
    assert decoded.rows == 1
    assert [loss.reason for loss in decoded.losses] == [LossReason.BAD_TEMPLATE]


def test_a_withdrawal_over_udp_is_ignored() -> None:
    withdrawal = set_of(2, struct.pack(">HH", 300, 0))
    rows = data_rows([ipfix(ipfix_template(300, [(0, 7, 2)]), withdrawal, set_of(300, b"\0\5"))])
    assert len(rows) == 1


@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_a_set_length_below_4_ends_the_walk(length: int) -> None:
    good = set_of(0, template(300, (7, 2))) + set_of(300, b"\0\5")
    decoded = build(DecoderState(), [(0, A, v9(good, struct.pack(">HH", 300, length)))]).finish()
    assert decoded.rows == 1
    assert [loss.reason for loss in decoded.losses] == [LossReason.BAD_SET_LENGTH]


def test_a_tail_of_zeros_is_padding() -> None:
    good = set_of(0, template(300, (7, 2))) + set_of(300, b"\0\5\0\0\0")
    decoded = build(DecoderState(), [(0, A, v9(good, bytes(900)))]).finish()
    assert decoded.losses == ()


def test_too_many_templates_are_refused_and_known_ones_stay() -> None:
    limits = Limits(templates_per_exporter=2)
    layouts = [set_of(0, template(256 + i, (7, 2))) for i in range(3)]
    data = [set_of(256 + i, b"\0\5") for i in range(3)]
    decoded = build(DecoderState(limits), [(0, A, v9(*layouts)), (1, A, v9(*data))]).finish()
    assert decoded.rows == 2
    assert [loss.reason for loss in decoded.losses] == [LossReason.BAD_TEMPLATE]
    # The control: with room for three all are decoded.
    assert build(DecoderState(), [(0, A, v9(*layouts)), (1, A, v9(*data))]).finish().rows == 3


def test_sums_are_scaled_by_each_flow_s_own_rate_and_kept_as_exported() -> None:
    # Input, bytes, packets, sampling rate: 1 in 10, unknown, 1 in 1.
    layout = set_of(0, template(256, (10, 4), (1, 8), (2, 4), (34, 4)))
    data = b"".join(
        struct.pack(">IQII", 1, *record) for record in ((100, 2, 10), (7, 1, 0), (5, 3, 1))
    )
    decoded = build(DecoderState(), [(0, A, v9(layout, set_of(256, data)))]).finish()
    assert decoded.sums is not None
    incoming = next(row for row in decoded.sums.to_pylist() if row["direction"] == 0)
    assert (incoming["bytes"], incoming["packets"], incoming["flows"]) == (112, 6, 3)
    assert (incoming["bytes_scaled"], incoming["packets_scaled"]) == (1012, 24)


def test_sums_without_any_rate_are_scaled_by_one() -> None:
    layout = set_of(0, template(256, (10, 4), (1, 8)))
    data = set_of(256, struct.pack(">IQ", 1, 100))
    decoded = build(DecoderState(), [(0, A, v9(layout, data))]).finish()
    assert decoded.sums is not None
    assert decoded.sums["bytes_scaled"].to_pylist() == [100, 100]
    assert decoded.sums["packets_scaled"].to_pylist() == [0, 0]


def test_sums_are_by_interface_and_direction() -> None:
    layout = set_of(0, template(256, (10, 4), (14, 4), (1, 8)))
    for scale in (1, 1 << 40):  # Small numbers are counted by index, large ones by sorting.
        data = struct.pack(">IIQ", 1, 2, 10 * scale) + struct.pack(">IIQ", 3, 2, 5 * scale)
        huge = struct.pack(">IIQ", 1, 2**32 - 1 if scale > 1 else 7, 1 * scale)
        decoded = build(DecoderState(), [(0, A, v9(layout, set_of(256, data + huge)))]).finish()
        assert decoded.sums is not None
        found = {
            (row["interface"], row["direction"]): (row["bytes"] // scale, row["flows"])
            for row in decoded.sums.to_pylist()
        }
        last = 2**32 - 1 if scale > 1 else 7
        assert found == {(1, 0): (11, 2), (3, 0): (5, 1), (2, 1): (15, 2), (last, 1): (1, 1)}
